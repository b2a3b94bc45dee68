import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Miss } from '../explanation.js';
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

interface Index {
  /** Digests of builds in which every step was found, and whose steps are all in here. */
  readonly builds: readonly Digest[];
  /** Newest first. */
  readonly accounts: readonly StepAccount[];
}

const VERSIONS = 6;
const BUILDS = 16;
const NOTHING: Index = { builds: [], accounts: [] };

/**
 * The last few versions of each step of one Dockerfile in one context: `index` and, one file each, the listings of the context
 * files that steps read. Every file is checksummed; one that is damaged or gone costs an explanation, nothing else. Of two
 * processes that save at once the last one's index stays.
 */
export class StepHistory {
  readonly directory: string;
  #index: Index | undefined;

  /** @param subject what tells this build from others: the context and the Dockerfile */
  constructor(root: string, subject: readonly string[]) {
    this.directory = join(root, digestHex(digestOf(JSON.stringify(subject))).slice(0, 32));
  }

  /** All accounts, newest first. */
  accounts(): readonly StepAccount[] {
    this.#index ??= readIndex(this.#path('index'));
    return this.#index.accounts;
  }

  /** Whether the steps of a build that was found as a whole are known. One read, no parsing of accounts. */
  hasBuild(build: Digest): boolean {
    try {
      const text = readFileSync(this.#path('index'), 'utf8');
      const start = text.indexOf('\n') + 1;
      return text.slice(start, text.indexOf('\n', start)).includes(build);
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

  /** Adds accounts, the newest first, and forgets what is too old. */
  save(accounts: readonly StepAccount[], build?: Digest): void {
    const known = readIndex(this.#path('index'));
    const index: Index = {
      builds: [...new Set([...(build ? [build] : []), ...known.builds])].slice(0, BUILDS),
      accounts: newestVersions([...accounts, ...known.accounts]),
    };
    writeChecked(this.#path('index'), `${JSON.stringify(index.builds)}\n${JSON.stringify(index.accounts)}`);
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

function readIndex(path: string): Index {
  const body = readChecked(path);
  if (body === undefined) return NOTHING;
  const end = body.indexOf('\n');
  return {
    builds: JSON.parse(body.slice(0, end)) as Digest[],
    accounts: JSON.parse(body.slice(end + 1)) as StepAccount[],
  };
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
