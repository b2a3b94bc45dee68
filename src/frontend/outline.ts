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

/** Notes during the conversion what the stages of a target ask for. Everything is noted once, the first time. */
export class OutlineRecorder {
  readonly #globals = new Map<string, OutlineArg & { readonly uses: readonly string[] }>();
  readonly #args = new Map<string, OutlineArg>();
  readonly #usedGlobals = new Set<string>();
  readonly #secrets = new Map<string, OutlineSecret>();
  readonly #ssh = new Map<string, OutlineSecret>();
  readonly #caches = new Map<string, SourceLocation>();

  /** An ARG before the first FROM. @param uses names in its default */
  addGlobal(name: string, value: string | undefined, command: Described, uses: readonly string[]): void {
    if (!this.#globals.has(name)) this.#globals.set(name, { ...argOf(name, value, command), uses });
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
    else if (!this.#args.has(name)) this.#args.set(name, argOf(name, value, command));
  }

  addSecret(kind: 'secret' | 'ssh', name: string, required: boolean, location: SourceLocation): void {
    const known = kind === 'secret' ? this.#secrets : this.#ssh;
    if (!known.has(name)) known.set(name, { name, required, location });
  }

  addCache(id: string, location: SourceLocation): void {
    if (!this.#caches.has(id)) this.#caches.set(id, location);
  }

  outline(): Omit<Outline, 'name' | 'description'> {
    const globals = [...this.#globals.values()].filter(({ name }) => this.#usedGlobals.has(name));
    const own = [...this.#args.values()].filter(({ name }) => !this.#usedGlobals.has(name));
    return {
      args: [...globals.map(({ uses: _uses, ...arg }) => arg), ...own].sort(byLine),
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
