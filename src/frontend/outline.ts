import type { SourceLocation } from '../errors.js';

export interface OutlineArg {
  readonly name: string;
  readonly description?: string;
  readonly value?: string;
  readonly location: SourceLocation;
}

export interface OutlineSecret {
  readonly name: string;
  readonly required: boolean;
  readonly location: SourceLocation;
}

/** What a target takes from outside: its arguments, secrets, agents and cache mounts. */
export interface Outline {
  readonly name?: string;
  readonly description?: string;
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineSecret[];
  readonly ssh: readonly OutlineSecret[];
  readonly caches: readonly { readonly id: string; readonly location: SourceLocation }[];
}

interface Described {
  readonly comments: readonly string[];
  readonly location: SourceLocation;
}

interface GlobalArg extends OutlineArg {
  readonly uses: readonly string[];
}

/**
 * Notes during the conversion what the stages of a target ask for. Of several ARGs with a name the one furthest down counts,
 * which is the one nearest to the target; of other things the first.
 */
export class OutlineRecorder {
  readonly #globals = new Map<string, GlobalArg>();
  readonly #args = new Map<string, { readonly arg: OutlineArg; readonly line: number }>();
  readonly #usedGlobals = new Set<string>();
  readonly #secrets = new Map<string, OutlineSecret>();
  readonly #ssh = new Map<string, OutlineSecret>();
  readonly #caches = new Map<string, SourceLocation>();

  /** An ARG before the first FROM. @param uses names in its default; those of an earlier ARG with the name are used by it */
  addGlobal(name: string, value: string | undefined, command: Described, uses: readonly string[]): void {
    const earlier = this.#globals.get(name)?.uses ?? [];
    this.#globals.set(name, { ...argOf(name, value, command), uses: [...earlier, ...uses] });
  }

  /** A global ARG counts when FROM or a stage asks for it. */
  useGlobals(names: Iterable<string>): void {
    for (const name of names) {
      if (this.#usedGlobals.has(name)) continue;
      this.#usedGlobals.add(name);
      this.useGlobals(this.#globals.get(name)?.uses ?? []);
    }
  }

  addArg(name: string, value: string | undefined, command: Described, isGlobal: boolean): void {
    if (isGlobal) this.useGlobals([name]);
    const global = isGlobal ? this.#globals.get(name) : undefined;
    const line = command.location.startLine;
    if (line < (this.#args.get(name)?.line ?? 0)) return;
    this.#args.set(name, { arg: global ? withoutUses(global) : argOf(name, value, command), line });
  }

  addSecret(kind: 'secret' | 'ssh', name: string, required: boolean, location: SourceLocation): void {
    const known = kind === 'secret' ? this.#secrets : this.#ssh;
    if (!known.has(name)) known.set(name, { name, required, location });
  }

  addCache(id: string, location: SourceLocation): void {
    if (!this.#caches.has(id)) this.#caches.set(id, location);
  }

  outline(): Omit<Outline, 'name' | 'description'> {
    const args = new Map<string, OutlineArg>();
    for (const [name, global] of this.#globals) {
      if (this.#usedGlobals.has(name)) args.set(name, withoutUses(global));
    }
    for (const [name, { arg }] of this.#args) args.set(name, arg);
    return {
      args: [...args.values()].sort(byLine),
      secrets: [...this.#secrets.values()].sort(byLine),
      ssh: [...this.#ssh.values()].sort(byLine),
      caches: [...this.#caches].map(([id, location]) => ({ id, location })).sort(byLine),
    };
  }
}

/** The rest of the comment line that starts with the name. */
export function describedBy(comments: readonly string[], name: string): string | undefined {
  const line = comments.find((comment) => comment.startsWith(`${name} `));
  return line?.slice(name.length + 1);
}

function withoutUses({ uses: _uses, ...arg }: GlobalArg): OutlineArg {
  return arg;
}

function argOf(name: string, value: string | undefined, command: Described): OutlineArg {
  const description = describedBy(command.comments, name);
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(value === undefined ? {} : { value }),
    location: command.location,
  };
}

function byLine(a: { readonly location: SourceLocation }, b: { readonly location: SourceLocation }): number {
  return a.location.startLine - b.location.startLine;
}
