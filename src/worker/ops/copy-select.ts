import { BuildError, nearestName } from '../../errors.js';
import type { FileFacts, FileListing } from '../../graph/contract.js';
import type { CopyAction } from '../../graph/op.js';
import { canMatchSlash, checkPathPattern, hasWildcard, matchPath } from '../../graph/path-match.js';
import { PatternMatcher } from '../../graph/pattern-matcher.js';
import { type Digest, TextHash } from '../../oci/digest.js';
import type { LayerEntry } from '../snapshot/layer-index.js';
import { baseName, joinPath, parentPath } from '../snapshot/path-order.js';
import { shortDigest } from './path-digest.js';
import type { SourceTree } from '../source/source-tree.js';

/** One path that a source word stands for. */
export interface Match {
  /** As written or matched, links not followed; its last component names the copy. */
  readonly path: string;
  /** The same with links followed. */
  readonly resolved: string;
  readonly entry: LayerEntry;
  /** For `--parents`: the part of `path` that is kept below the destination. */
  readonly kept: string;
}

/**
 * The paths that a source word selects. A wildcard that matches nothing selects nothing; a plain path must exist.
 * @throws COPY_SOURCE_NOT_FOUND with where it looked, the ignore pattern that hides it, and the nearest name
 */
export function selectMatches(tree: SourceTree, action: CopyAction): Match[] {
  const [before, after] = splitPivot(action);
  const pattern = joinPath(before, after);
  if (!action.allowWildcard || !hasWildcard(pattern))
    return [matchAt(tree, pattern, after) ?? notFound(tree, pattern)];
  const start = literalStart(action.parents ? before : pattern);
  if (!tree.lookup(tree.resolve(start, true))) notFound(tree, start);
  checkPathPattern(pattern);
  if (!action.parents)
    return matchesBelow(tree, start, pattern).flatMap((path) => matchAt(tree, path, path) ?? []);
  return expandPattern(tree, '', before).flatMap((base) =>
    expandPattern(tree, base, after).flatMap(
      (path) => matchAt(tree, path, base === '' ? path : path.slice(base.length + 1)) ?? [],
    ),
  );
}

/** The components before the first one with a wildcard; a backslash in them is part of a name. */
export function literalStart(pattern: string): string {
  const components = pattern.split('/');
  const wildcard = components.findIndex(hasWildcard);
  return components.slice(0, wildcard < 0 ? undefined : wildcard).join('/');
}

/**
 * Paths below `start` that the rest of `pattern` matches, no link followed on the way. A class may match the `/` between two
 * names (`a[^x]b` is `a/b`), and then all paths are asked.
 */
function matchesBelow(tree: SourceTree, start: string, pattern: string): string[] {
  const rest = pattern.slice(start === '' ? 0 : start.length + 1);
  const root = tree.resolve(start, true);
  const named = (relative: string) => joinPath(start, relative);
  const namesBelow = (dir: string) => namesIn(tree, dir === '' ? root : joinPath(root, dir));
  if (canMatchSlash(rest)) return [...matchingPaths(namesBelow, '', rest)].map(named);
  let found = [''];
  for (const component of rest.split('/').filter((part) => part !== '' && part !== '.')) {
    found = found.flatMap((dir) =>
      namesBelow(dir).flatMap((name) => (matchPath(component, name) ? [joinPath(dir, name)] : [])),
    );
  }
  return found.map(named);
}

function* matchingPaths(
  namesBelow: (dir: string) => readonly string[],
  dir: string,
  pattern: string,
): Generator<string> {
  for (const name of namesBelow(dir)) {
    const path = joinPath(dir, name);
    if (matchPath(pattern, path)) yield path;
    else yield* matchingPaths(namesBelow, path, pattern);
  }
}

function namesIn(tree: SourceTree, path: string): readonly string[] {
  return path === '' || tree.lookup(path)?.type === 'directory' ? tree.list(path) : [];
}

/** `--parents` keeps what follows the first `/./`; without one, the whole path. */
function splitPivot(action: CopyAction): [before: string, after: string] {
  const source = action.source.slice(1);
  const pivot = action.parents ? source.indexOf('/./') : -1;
  if (pivot < 0) return ['', source];
  return [source.slice(0, pivot), source.slice(pivot + 3)];
}

/** For `--parents`: paths below `base` that match, component by component; a `**` is any number of directories. */
function expandPattern(tree: SourceTree, base: string, pattern: string): string[] {
  let found = [base];
  for (const component of pattern.split('/').filter((part) => part !== '' && part !== '.')) {
    found = found.flatMap((dir) => {
      const at = tree.resolve(dir, true);
      if (component === '**') return [...directoriesBelow(tree, dir)];
      if (hasWildcard(component))
        return tree.list(at).flatMap((name) => (matchPath(component, name) ? [joinPath(dir, name)] : []));
      const path = joinPath(dir, unescape(component));
      return tree.lookup(tree.resolve(path, false)) ? [path] : [];
    });
  }
  return [...new Set(found)];
}

function* directoriesBelow(tree: SourceTree, dir: string): Generator<string> {
  yield dir;
  for (const name of tree.list(dir)) {
    const path = joinPath(dir, name);
    if (tree.lookup(path)?.type === 'directory') yield* directoriesBelow(tree, path);
  }
}

function unescape(pattern: string): string {
  return pattern.replace(/\\(.)/g, '$1');
}

function matchAt(tree: SourceTree, path: string, kept: string): Match | undefined {
  const resolved = tree.resolve(path, true);
  const entry = tree.lookup(resolved);
  return entry && { path, resolved, entry, kept };
}

function notFound(tree: SourceTree, path: string): never {
  const pattern = tree.hiddenBy(path);
  const dir = parentPath(path);
  const nearest = nearestName(baseName(path), namesIn(tree, tree.resolve(dir, true)));
  const hint = pattern
    ? `the ignore pattern "${pattern}" leaves it out; add "!${path}" below it to take it back`
    : nearest
      ? `did you mean "${joinPath(dir, nearest)}"?`
      : 'paths are relative to the root of the context, or of the stage named by --from';
  throw new BuildError('COPY_SOURCE_NOT_FOUND', `"/${path}": not found in ${tree.place}`, { hint });
}

/** What a selection holds below one match, itself first, excluded paths left out; relative paths, sorted. */
export function* walkMatch(
  tree: SourceTree,
  match: Match,
  excludes: PatternMatcher | undefined,
): Generator<{ path: string; relative: string; entry: LayerEntry }> {
  yield { path: match.resolved, relative: '', entry: match.entry };
  if (match.entry.type === 'directory') yield* walkBelow(tree, match.resolved, '', excludes);
}

function* walkBelow(
  tree: SourceTree,
  dir: string,
  relativeDir: string,
  excludes: PatternMatcher | undefined,
): Generator<{ path: string; relative: string; entry: LayerEntry }> {
  for (const name of tree.list(dir)) {
    const relative = joinPath(relativeDir, name);
    const entry = tree.lookup(joinPath(dir, name));
    if (!entry) continue;
    // The same text, but the tree's own string: what is kept of many files shares it.
    const { path } = entry;
    if (!excludes?.matches(relative)) yield { path, relative, entry };
    else if (entry.type !== 'directory' || excludes.canSkipDirectory(relative)) continue;
    if (entry.type === 'directory') yield* walkBelow(tree, path, relative, excludes);
  }
}

export function excludeMatcher(action: CopyAction): PatternMatcher | undefined {
  return action.excludePatterns?.length ? new PatternMatcher(action.excludePatterns) : undefined;
}

/**
 * The content of what an action selects: names inside the selection, types, modes, owners, bytes, link targets, devices;
 * never times. A mode that `--chmod` sets in octal takes no part.
 */
export async function selectionDigest(
  tree: SourceTree,
  action: CopyAction,
  onFile?: (path: string, facts: FileFacts) => void,
): Promise<Digest> {
  const hash = new TextHash();
  const excludes = excludeMatcher(action);
  const add = ({ name, path, relative, entry }: Selected, digest: Digest | undefined) => {
    const facts = factsOf(action, relative, entry, digest);
    hash.add(`${JSON.stringify([name, relative, facts])}\n`);
    onFile?.(path, facts);
  };
  const ahead = new DigestsAhead(add);
  for (const match of selectMatches(tree, action)) {
    const name = action.parents ? match.kept : baseName(match.path);
    for (const { path, relative, entry } of walkMatch(tree, match, excludes)) {
      const digest = entry.type === 'file' ? tree.digest(path, entry) : undefined;
      const turn = ahead.add({ name, path, relative, entry }, digest);
      if (turn) await turn;
    }
  }
  await ahead.end();
  return hash.digest();
}

interface Selected {
  readonly name: string;
  readonly path: string;
  readonly relative: string;
  readonly entry: LayerEntry;
}

/** Bytes and files that may be read ahead of the one whose digest is awaited. */
const AHEAD_BYTES = 32 << 20;
const AHEAD_FILES = 64;

/**
 * Hands entries on in order, each with its digest, while those of the next files are being made. What is known already passes
 * at once: ten thousand awaits would take longer than the work.
 */
class DigestsAhead {
  readonly #add: (selected: Selected, digest: Digest | undefined) => void;
  readonly #waiting: [Selected, Digest | Promise<Digest> | undefined][] = [];
  #bytes = 0;

  constructor(add: (selected: Selected, digest: Digest | undefined) => void) {
    this.#add = add;
  }

  add(selected: Selected, digest: Digest | Promise<Digest> | undefined): Promise<void> | undefined {
    if (this.#waiting.length === 0 && typeof digest !== 'object') {
      this.#add(selected, digest);
      return undefined;
    }
    // It is awaited in its turn, and a failure before that must not be an unhandled one.
    if (typeof digest === 'object') digest.catch(() => undefined);
    this.#waiting.push([selected, digest]);
    this.#bytes += selected.entry.size;
    return this.#isFull() ? this.#drain(() => this.#isFull()) : undefined;
  }

  end(): Promise<void> {
    return this.#drain(() => this.#waiting.length > 0);
  }

  #isFull(): boolean {
    return this.#waiting.length > AHEAD_FILES || this.#bytes > AHEAD_BYTES;
  }

  async #drain(goesOn: () => boolean): Promise<void> {
    while (goesOn() && this.#waiting.length > 0) {
      const [selected, digest] = this.#waiting.shift()!;
      this.#bytes -= selected.entry.size;
      this.#add(selected, await digest);
    }
  }
}

/** The files that `selectionDigest` covers, by path in the source. */
export async function listSelections(tree: SourceTree, actions: readonly CopyAction[]): Promise<FileListing> {
  const files = new Map<string, FileFacts>();
  for (const action of actions)
    await selectionDigest(tree, action, (path, facts) =>
      files.set(path, { ...facts, digest: facts.digest && shortDigest(facts.digest) }),
    );
  return files;
}

/** What of an entry decides the copy. Of the directory whose contents are copied, nothing but its being one. */
function factsOf(
  action: CopyAction,
  relative: string,
  entry: LayerEntry,
  digest: string | undefined,
): FileFacts {
  const { type, mode, uid, gid, linkName, deviceMajor, deviceMinor, xattrs } = entry;
  if (relative === '' && type === 'directory') return { type };
  return {
    type,
    mode: typeof action.mode === 'number' ? undefined : mode,
    owner: action.owner ? undefined : `${uid}:${gid}`,
    digest,
    link: linkName,
    device: deviceMajor === undefined ? undefined : `${deviceMajor}:${deviceMinor}`,
    xattr: xattrs?.['security.capability'],
  };
}
