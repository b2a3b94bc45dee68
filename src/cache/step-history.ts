import { readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { Explanation, Miss } from '../explanation.js';
import type { FileFacts, FileListing } from '../graph/contract.js';
import { type Digest, digestHex, digestOf } from '../oci/digest.js';
import { readChecked, writeChecked } from './checked-file.js';

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

/** The last build that learned something new. */
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

interface Index {
  /** What tells this build from others: the context, the Dockerfile. */
  readonly subject: readonly string[];
  readonly last?: LastBuild;
  /** Digests of builds in which every step was found, and whose steps are all in here. */
  readonly builds: readonly Digest[];
  /** Newest first. */
  readonly accounts: readonly StepAccount[];
}

const VERSIONS = 6;
const BUILDS = 16;

/**
 * The last few versions of each step of one Dockerfile in one context: `index` and, one file each, the listings of the context
 * files that steps read. Every file is checksummed; one that is damaged or gone costs an explanation, nothing else. Of two
 * processes that save at once the last one's index stays.
 */
export class StepHistory {
  readonly directory: string;
  readonly #subject: readonly string[];
  #index: Index | undefined;

  /** @param subject what tells this build from others: the context and the Dockerfile */
  constructor(root: string, subject: readonly string[]) {
    this.directory = join(root, digestHex(digestOf(JSON.stringify(subject))).slice(0, 32));
    this.#subject = subject;
  }

  /** The history that was used last, of any build. */
  static newest(root: string): StepHistory | undefined {
    const [newest] = directoriesIn(root)
      .flatMap((name) => {
        const path = join(root, name, 'index');
        const stat = statSync(path, { throwIfNoEntry: false });
        return stat ? [{ path, atMs: stat.mtimeMs }] : [];
      })
      .sort((a, b) => b.atMs - a.atMs);
    const index = newest && readIndex(newest.path);
    return index && new StepHistory(root, index.subject);
  }

  get subject(): readonly string[] {
    return this.#subject;
  }

  get last(): LastBuild | undefined {
    return this.#read().last;
  }

  /** All accounts, newest first. */
  accounts(): readonly StepAccount[] {
    return this.#read().accounts;
  }

  #read(): Index {
    this.#index ??= readIndex(this.#path('index')) ?? this.#empty();
    return this.#index;
  }

  #empty(): Index {
    return { subject: this.#subject, builds: [], accounts: [] };
  }

  /** Whether the steps of a build that was found as a whole are known; marks the history as used. Parses no accounts. */
  hasBuild(build: Digest): boolean {
    const path = this.#path('index');
    try {
      const text = readFileSync(path, 'utf8');
      const start = text.indexOf('\n') + 1;
      if (!text.slice(start, text.indexOf('\n', start)).includes(build)) return false;
      const now = Date.now() / 1000;
      utimesSync(path, now, now);
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
    const body = JSON.stringify([...listing].map(toRow));
    const name = digestOf(body);
    writeChecked(this.#path(digestHex(name)), body);
    return name;
  }

  /** Adds accounts, the newest first, and forgets what is too old. `build` is the digest of one that was found as a whole. */
  save(accounts: readonly StepAccount[], last: LastBuild, build?: Digest): void {
    const known = readIndex(this.#path('index')) ?? this.#empty();
    const index: Index = {
      subject: this.#subject,
      builds: [...new Set([...(build ? [build] : []), ...known.builds])].slice(0, BUILDS),
      last,
      accounts: newestVersions([...accounts, ...known.accounts]),
    };
    const { builds, ...rest } = index;
    writeChecked(this.#path('index'), `${JSON.stringify(builds)}\n${JSON.stringify(rest)}`);
    this.#index = index;
    this.#removeListings();
  }

  #removeListings(): void {
    const named = this.accounts().flatMap(({ inputs }) => inputs.map(({ listing }) => listing));
    const kept = new Set(['index', ...named.flatMap((name) => (name ? [digestHex(name)] : []))]);
    for (const file of readdirSync(this.directory))
      if (!kept.has(file) && !file.includes('.')) rmSync(this.#path(file), { force: true });
  }

  #path(name: string): string {
    return join(this.directory, name);
  }
}

/** One line with the builds, one with the rest. */
function readIndex(path: string): Index | undefined {
  const body = readChecked(path);
  if (body === undefined) return undefined;
  const end = body.indexOf('\n');
  const rest = JSON.parse(body.slice(end + 1)) as Omit<Index, 'builds'>;
  return { ...rest, builds: JSON.parse(body.slice(0, end)) as Digest[] };
}

function directoriesIn(root: string): string[] {
  try {
    return readdirSync(root);
  } catch {
    return [];
  }
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
