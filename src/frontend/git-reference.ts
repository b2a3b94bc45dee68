import { BuildError } from '../errors.js';
import type { SourceOp } from '../graph/op.js';

/** A repository with what is wanted of it. */
export interface GitReference {
  /** URL without query and fragment. */
  readonly remote: string;
  readonly ref?: string;
  readonly subdirectory?: string;
  /** Commit, or the start of one, that `ref` must be. */
  readonly checksum?: string;
  readonly keepGitDirectory?: boolean;
  readonly submodules?: boolean;
  /** Times of the files: of the checkout, or of the commit. */
  readonly mtime?: 'checkout' | 'commit';
  /** Fetch the commit itself in place of the ref. */
  readonly fetchByCommit?: boolean;
}

const SCP = /^([\w-]+@[\w.-]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/;
const URL_FORM = /^((?:https?|ssh|git):\/\/[^?#]*)(?:\?([^#]*))?(?:#(.*))?$/i;

/**
 * Reads `https://host/repo.git#ref:subdir`, its query form, `git@host:repo`, `ssh://` and `git://`. A http URL is a repository
 * only when its path ends in `.git`, or when the caller knows it to be one. Undefined for everything else.
 * @throws INVALID_VALUE for a bad query
 */
export function parseGitReference(text: string, isKnown = false): GitReference | undefined {
  const scp = SCP.exec(text);
  const match = scp ? [text, `${scp[1]}:${scp[2]}`, scp[3], scp[4]] : URL_FORM.exec(text);
  if (!match) return undefined;
  const remote = match[1]!;
  if (/^https?:/i.test(remote) && !isKnown && !remote.endsWith('.git')) return undefined;
  const [ref = '', subdirectory = ''] = splitFragment(match[3] ?? '');
  const query = readQuery(match[2] ?? '', text);
  const chosen = refOf(ref, query, text);
  const directory = agreed('subdir', subdirectory, query.get('subdir'), text);
  const checksum = query.get('checksum') ?? query.get('commit');
  const mtime = query.get('mtime');
  return {
    remote,
    ...optional('ref', chosen ?? checksum),
    ...optional('subdirectory', directory),
    ...optional('checksum', checksum),
    ...optional('keepGitDirectory', flagOf(query, 'keep-git-dir')),
    ...optional('submodules', flagOf(query, 'submodules')),
    ...optional('fetchByCommit', flagOf(query, 'fetch-by-commit')),
    ...(mtime === 'commit' || mtime === 'checkout' ? { mtime } : {}),
  };
}

/** The op that checks the repository out. */
export function gitSourceOp(reference: GitReference): SourceOp {
  const { remote, ref, subdirectory, checksum, keepGitDirectory, submodules, mtime, fetchByCommit } =
    reference;
  return {
    kind: 'source',
    identifier: `git+${remote}`,
    attributes: {
      ...optional('ref', ref),
      ...optional('subdirectory', subdirectory),
      ...optional('checksum', checksum),
      ...(keepGitDirectory ? { keepGitDirectory: 'true' } : {}),
      ...(submodules === false ? { submodules: 'false' } : {}),
      ...(mtime === 'commit' ? { mtime } : {}),
      ...(fetchByCommit ? { fetchByCommit: 'true' } : {}),
    },
  };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined || value === '' ? {} : ({ [key]: value } as { [P in K]?: V });
}

function splitFragment(fragment: string): string[] {
  const colon = fragment.indexOf(':');
  return colon < 0 ? [fragment] : [fragment.slice(0, colon), fragment.slice(colon + 1)];
}

const SWITCHES = ['keep-git-dir', 'submodules', 'fetch-by-commit'];
const KEYS = ['ref', 'tag', 'branch', 'subdir', 'checksum', 'commit', 'mtime', ...SWITCHES];

function readQuery(query: string, text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(query)) {
    if (!KEYS.includes(key))
      throw invalid(text, `unexpected query "${key}"`, `the queries are ${KEYS.join(', ')}`);
    if (values.has(key)) throw invalid(text, `query "${key}" has multiple values`);
    if (value === '' && !SWITCHES.includes(key)) throw invalid(text, `query "${key}" has no value`);
    values.set(key, value);
  }
  return values;
}

function refOf(fragment: string, query: ReadonlyMap<string, string>, text: string): string | undefined {
  const tag = query.get('tag');
  const branch = query.get('branch');
  if (tag !== undefined && branch !== undefined) throw invalid(text, 'branch conflicts with tag');
  const asked = [
    query.get('ref'),
    tag && (tag.startsWith('refs/tags/') ? tag : `refs/tags/${tag}`),
    branch && (branch.startsWith('refs/heads/') ? branch : `refs/heads/${branch}`),
  ];
  return asked.reduce((chosen, ref) => agreed('ref', chosen, ref, text), fragment) || undefined;
}

function agreed(what: string, first: string | undefined, second: string | undefined, text: string) {
  if (first && second && first !== second)
    throw invalid(text, `${what} conflicts: "${first}" vs "${second}"`);
  return first || second;
}

function flagOf(query: ReadonlyMap<string, string>, key: string): boolean | undefined {
  const value = query.get(key);
  if (value === undefined) return undefined;
  if (value === '' || /^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw invalid(key, `invalid ${key} value: "${value}"`, 'use true or false');
}

function invalid(text: string, why: string, hint?: string): BuildError {
  return new BuildError('INVALID_VALUE', `git reference "${redactUrl(text)}": ${why}`, { hint });
}

/** A URL without its user and password. */
export function redactUrl(url: string): string {
  return url.replace(/(\/\/)[^/@\s]*@/, '$1');
}
