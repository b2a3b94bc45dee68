import { readdirSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { Explanation, Miss } from '../explanation.js';
import type { FileFacts, FileListing } from '../graph/contract.js';
import { type Digest, digestHex, digestOf } from '../oci/digest.js';
import { readChecked, writeChecked, writeNamedRows } from './checked-file.js';
import { modifiedMs, namesIn } from './if-there.js';

/** What one step was made of when it was built. */
export interface StepAccount {
  /** Stage and number of the instruction in it. */
  readonly position: string;
  /** As shown: `[builder 2/5] RUN make`. */
  readonly name: string;
  readonly definition: Digest;
  /** When it was last made or found anew; milliseconds since the epoch. */
  readonly atMs: number;
  readonly outcome: 'made' | 'failed';
  readonly components: Readonly<Record<string, string>>;
  readonly asides?: Readonly<Record<string, string>>;
  readonly argNames?: readonly string[];
  readonly inputs: readonly InputAccount[];
  /** When and why it last ran; left out for a step that was found. */
  readonly run?: { readonly atMs: number; readonly miss: Miss };
}

/** What a step had as one of its inputs. */
export interface InputAccount {
  /** The input's name as shown. */
  readonly name: string;
  readonly definition: Digest;
  /** Digest of what is read of it; unknown when the step was found without looking at its inputs. */
  readonly content?: Digest;
  /** Name of the listing of what is read, for files of a local context. */
  readonly listing?: Digest;
  /** Layers that a listing can be made of again. */
  readonly layers?: readonly Digest[];
}

export interface LastBuild {
  readonly atMs: number;
  /** In the order of the Dockerfile. */
  readonly steps: readonly LastStep[];
}

export interface LastStep {
  readonly name: string;
  readonly position: string;
  readonly definition: Digest;
  readonly outcome: 'found' | 'made' | 'failed';
  readonly explanation?: Explanation;
}

/** What builds of one thing have in common wherever it lies: the image's name, the Dockerfile's, … */
export type BuildNames = Readonly<Record<string, string>>;

interface Index {
  /** What tells this build from others: the context, the Dockerfile. */
  readonly subject: readonly string[];
  readonly names: BuildNames;
  readonly last?: LastBuild;
  /** Newest first. */
  readonly accounts: readonly StepAccount[];
}

const VERSIONS = 6;
const BUILDS = 16;
const INDEX = 'accounts';
const FOUND = 'found-';

/**
 * The last few versions of each step of one Dockerfile in one context: `accounts`; one file each for the listings of the context
 * files that steps read; and `found-<build>` for each of the last builds in which every step was found, by its time the
 * latest such build. The directory's time says when the history was last used. Every file is checksummed; one that is damaged
 * or gone costs an explanation, nothing else. Of two processes that save at once the last one's accounts stay.
 */
export class StepHistory {
  readonly directory: string;
  readonly #root: string;
  readonly #subject: readonly string[];
  readonly #names: BuildNames;
  #index: Index | undefined;

  /** @param subject what tells this build from others: the context and the Dockerfile */
  constructor(root: string, subject: readonly string[], names: BuildNames = {}) {
    this.directory = join(root, digestHex(digestOf(JSON.stringify(subject))).slice(0, 32));
    this.#root = root;
    this.#subject = subject;
    this.#names = names;
  }

  /** The history that was used last, of any build. */
  static newest(root: string): StepHistory | undefined {
    for (const directory of newestFirst(root, namesIn(root))) {
      const history = StepHistory.#at(root, directory);
      if (history) return history;
    }
    return undefined;
  }

  static #at(root: string, directory: string): StepHistory | undefined {
    const index = readIndex(join(directory, INDEX));
    if (!index) return undefined;
    const history = new StepHistory(root, index.subject, index.names);
    history.#index = index;
    return history;
  }

  get subject(): readonly string[] {
    return this.#subject;
  }

  get names(): BuildNames {
    return this.#names;
  }

  /** The last build, also one in which every step was found. */
  get last(): LastBuild | undefined {
    const { last } = this.#read();
    const [path] = this.#found();
    const atMs = path === undefined ? 0 : modifiedMs(path);
    if (path === undefined || (last && atMs <= last.atMs)) return last;
    const body = readChecked(path);
    return body === undefined ? last : { atMs, steps: JSON.parse(body) as LastStep[] };
  }

  /** All accounts, newest first. */
  accounts(): readonly StepAccount[] {
    return this.#read().accounts;
  }

  /** Up to `count` histories of other builds, the one that was used last first. */
  *others(count: number): Generator<StepHistory> {
    const directories = newestFirst(this.#root, namesIn(this.#root)).filter(
      (path) => path !== this.directory,
    );
    for (const directory of directories.slice(0, count)) {
      const history = StepHistory.#at(this.#root, directory);
      if (history) yield history;
    }
  }

  #read(): Index {
    this.#index ??= readIndex(this.#path(INDEX)) ?? this.#empty();
    return this.#index;
  }

  #empty(): Index {
    return { subject: this.#subject, names: this.#names, accounts: [] };
  }

  /** Whether a build that was found as a whole is known; makes it the last one. Reads nothing. */
  hasBuild(build: Digest): boolean {
    try {
      this.#markFound(this.#path(`${FOUND}${digestHex(build)}`), Date.now());
      return true;
    } catch {
      return false;
    }
  }

  listing(name: Digest): FileListing | undefined {
    const body = readChecked(this.#path(digestHex(name)));
    return body === undefined ? undefined : new Map((JSON.parse(body) as Row[]).map(fromRow));
  }

  /** Keeps a listing and gives its name. Until `save` names it, nothing refers to it. */
  saveListing(listing: FileListing): Digest {
    const rows = function* () {
      for (const file of listing) yield toRow(file);
    };
    return writeNamedRows(this.directory, rows());
  }

  /** Adds accounts, the newest first, and forgets what is too old. `build` is the digest of one that was found as a whole. */
  save(accounts: readonly StepAccount[], last: LastBuild, build?: Digest): void {
    const known = readIndex(this.#path(INDEX)) ?? this.#empty();
    const index: Index = {
      subject: this.#subject,
      names: this.#names,
      last,
      accounts: newestVersions([...accounts, ...known.accounts]),
    };
    writeChecked(this.#path(INDEX), JSON.stringify(index));
    if (build) this.#saveFound(this.#path(`${FOUND}${digestHex(build)}`), last);
    this.#index = index;
    this.#removeOld();
  }

  #saveFound(path: string, { steps, atMs }: LastBuild): void {
    writeChecked(path, JSON.stringify(steps));
    this.#markFound(path, atMs);
  }

  #markFound(path: string, atMs: number): void {
    for (const marked of [path, this.directory]) utimesSync(marked, atMs / 1000, atMs / 1000);
  }

  #removeOld(): void {
    const named = this.accounts().flatMap(({ inputs }) => inputs.map(({ listing }) => listing));
    const listings = named.flatMap((name) => (name ? [this.#path(digestHex(name))] : []));
    const kept = new Set([this.#path(INDEX), ...listings, ...this.#found().slice(0, BUILDS)]);
    for (const file of readdirSync(this.directory))
      if (!kept.has(this.#path(file)) && !file.includes('.')) rmSync(this.#path(file), { force: true });
  }

  /** Files of the builds that were found as a whole, the last one first. */
  #found(): string[] {
    const names = namesIn(this.directory).filter((name) => name.startsWith(FOUND) && !name.includes('.'));
    return newestFirst(this.directory, names);
  }

  #path(name: string): string {
    return join(this.directory, name);
  }
}

function readIndex(path: string): Index | undefined {
  const body = readChecked(path);
  return body === undefined ? undefined : (JSON.parse(body) as Index);
}

function newestFirst(directory: string, names: readonly string[]): string[] {
  return names
    .map((name) => join(directory, name))
    .map((path) => ({ path, atMs: modifiedMs(path) }))
    .sort((a, b) => b.atMs - a.atMs)
    .map(({ path }) => path);
}

/** Each version of a step once, and a few of them. What an older account knows of inputs is kept. */
function newestVersions(accounts: readonly StepAccount[]): StepAccount[] {
  const versions = new Map<string, Map<Digest, StepAccount>>();
  for (const account of accounts) {
    const own = versions.get(account.position) ?? new Map<Digest, StepAccount>();
    versions.set(account.position, own);
    const newer = own.get(account.definition);
    if (newer) own.set(account.definition, merged(newer, account));
    else if (own.size < VERSIONS) own.set(account.definition, account);
  }
  return [...versions.values()].flatMap((own) => [...own.values()]).sort((a, b) => b.atMs - a.atMs);
}

function merged(newer: StepAccount, older: StepAccount): StepAccount {
  const inputs = newer.inputs.map((input, i) => ({ ...older.inputs[i], ...input }));
  const run = newer.run ?? older.run;
  return { ...newer, inputs, ...(run ? { run } : {}) };
}

/** A listing has one for each file, so it has no names of fields. */
type Row = [path: string, ...facts: (string | number | null)[]];

const FIELDS = ['type', 'mode', 'owner', 'digest', 'link', 'device', 'xattr'] as const;

function toRow([path, facts]: [string, FileFacts]): Row {
  const row = FIELDS.map((field) => facts[field] ?? null);
  while (row.at(-1) === null) row.pop();
  return [path, ...row];
}

function fromRow([path, ...row]: Row): [string, FileFacts] {
  const facts = FIELDS.map((field, i) => [field, row[i] ?? undefined]);
  return [path, Object.fromEntries(facts) as FileFacts];
}
