import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { readChecked, writeChecked } from '../../cache/checked-file.js';
import { digestHex, digestOf } from '../../oci/digest.js';
import { branchingFilter, INSTRUCTION_BYTES, MOST_INSTRUCTIONS } from './branching-filter.js';
import type { OciConfig } from './oci-config.js';

/** The way to hand crun a program for the kernel, as base64. A crun that does not know it compiles the rules, which stay. */
const ANNOTATION = 'run.oci.seccomp_bpf_data';
/** A whole copy or none; an empty one where crun shows no program. */
const COPY = [
  '-c',
  'if [ -e "$0" ]; then cat "$0" > "$1.part" && mv "$1.part" "$1"; else : > "$1"; fi 2> /dev/null || :',
];
/** What crun compiles with, where distributions have it. */
const COMPILERS = [
  '/lib',
  '/usr/lib',
  '/lib64',
  '/usr/lib64',
  `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`,
].map((directory) => join(directory, 'libseccomp.so.2'));

/** A container whose filter crun is to apply. */
interface Container {
  /** Directory of its own, in memory. */
  readonly directory: string;
  /** Where crun keeps what it knows of it. */
  readonly stateDirectory: string;
}

/** A file of the store. */
interface KeptProgram {
  readonly madeBy: string;
  /** As base64. */
  readonly program: string;
  /** Whether it has got its search, or was found not to take one. */
  readonly isSearched: boolean;
}

/**
 * The programs that crun makes of filters of system calls. To make one takes it longer than all else that it does for a container,
 * and it keeps none. So the first container with a filter has a copy of its program made, and the later ones are given that. Where a
 * second process finds it, it gets a search in front that spares the kernel time with each: to make that takes as long as it spares in thirty
 * containers, more than a store may see that is thrown away.
 */
export class CompiledFilters {
  readonly #directory: string;
  readonly #crun: string;
  /** Empty where crun shows none. */
  readonly #programs = new Map<string, string>();
  /** Rules of those that were found in the store without a search. */
  readonly #plain = new Set<string>();
  /** Their text by the rules. */
  readonly #texts = new WeakMap<object, string>();

  /** @param options.directory one file for each filter; made on the first write */
  constructor(options: { directory: string; crun: string }) {
    this.#directory = options.directory;
    this.#crun = options.crun;
  }

  /** The config with the filter's program, or with a hook that copies it for {@link keep}. */
  apply(config: OciConfig, { directory, stateDirectory }: Container): OciConfig {
    const { seccomp } = config.linux;
    if (seccomp === undefined) return config;
    const program = this.#find(this.#textOf(seccomp));
    if (program === '') return config;
    if (program !== undefined) return { ...config, annotations: { [ANNOTATION]: program } };
    const paths = [join(stateDirectory, 'seccomp.bpf'), copyIn(directory)];
    const hook = { path: '/bin/sh', args: ['sh', ...COPY, ...paths], env: ['PATH=/usr/bin:/bin'] };
    return { ...config, hooks: { ...config.hooks, poststart: [hook] } };
  }

  /** After the container has ended; its directory is still there. A store that cannot be written costs time, not the step. */
  keep({ linux: { seccomp } }: OciConfig, { directory }: Pick<Container, 'directory'>): void {
    if (seccomp === undefined) return;
    const rules = this.#textOf(seccomp);
    const found = this.#find(rules);
    if (found !== undefined && !this.#plain.delete(rules)) return;
    const program = found === undefined ? readProgram(copyIn(directory)) : withSearch(found);
    if (program === undefined) return;
    this.#programs.set(rules, program);
    try {
      // Who could write to it could let later steps call what they like.
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      const kept: KeptProgram = { madeBy: this.#maker(), program, isSearched: found !== undefined };
      writeChecked(this.#file(rules), JSON.stringify(kept));
    } catch {
      return;
    }
  }

  /** The next container has its filter compiled again, since this one could not be started with it. */
  forget({ linux: { seccomp } }: OciConfig): void {
    if (seccomp === undefined) return;
    const rules = this.#textOf(seccomp);
    this.#programs.delete(rules);
    this.#plain.delete(rules);
    rmSync(this.#file(rules), { force: true });
  }

  #textOf(seccomp: object): string {
    let text = this.#texts.get(seccomp);
    if (text === undefined) this.#texts.set(seccomp, (text = JSON.stringify(seccomp)));
    return text;
  }

  #find(rules: string): string | undefined {
    const known = this.#programs.get(rules);
    if (known !== undefined) return known;
    const body = readChecked(this.#file(rules));
    const { madeBy, program, isSearched } = JSON.parse(body ?? '{}') as Partial<KeptProgram>;
    if (program === undefined || madeBy !== this.#maker()) return undefined;
    this.#programs.set(rules, program);
    if (isSearched !== true) this.#plain.add(rules);
    return program;
  }

  #file(rules: string): string {
    return join(this.#directory, digestHex(digestOf(rules)));
  }

  /** What a program depends on beside the rules. The loader's cache, where there is one, changes when a library does. */
  #maker(): string {
    const files = [this.#crun, '/etc/ld.so.cache', ...COMPILERS];
    return [release(), process.arch, ...files.map(stateOf)].join(' ');
  }
}

function withSearch(program: string): string {
  return Buffer.from(branchingFilter(Buffer.from(program, 'base64'))).toString('base64');
}

const copyIn = (directory: string) => join(directory, 'filter');

function stateOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? `${path}:${stat.ino}:${stat.size}:${stat.mtimeMs}` : '';
}

/** Empty where the container ran and there is no program; undefined where it did not come so far. */
function readProgram(copy: string): string | undefined {
  if (!statSync(copy, { throwIfNoEntry: false })) return undefined;
  const program = readFileSync(copy);
  const instructions = program.length / INSTRUCTION_BYTES;
  return Number.isInteger(instructions) && instructions <= MOST_INSTRUCTIONS
    ? program.toString('base64')
    : '';
}
