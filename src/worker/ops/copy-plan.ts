import { BuildError } from '../../errors.js';
import type { CopyAction, MakeDirectoryAction, MakeFileAction } from '../../graph/op.js';
import type { PatternMatcher } from '../../graph/pattern-matcher.js';
import type { LayerEntry } from '../snapshot/layer-index.js';
import { baseName, joinPath, parentPath } from '../snapshot/path-order.js';
import type { SourceTree } from '../source/source-tree.js';
import { applySymbolicMode } from './chmod.js';
import { excludeMatcher, type Match, selectMatches, walkMatch } from './copy-select.js';
import { type Ids, refuseNames, resolveOwner } from './owner.js';
import { type DirectoryAttributes, notDirectory, type WorkTree } from './work-tree.js';

/** What one action does to the entries that it makes. */
export interface CopyAttributes {
  readonly ids: Ids | undefined;
  readonly mode: number | string | undefined;
  readonly newDirectory: DirectoryAttributes;
}

export type NoteListener = (message: string) => void;

export function attributesOf(
  action: CopyAction | MakeDirectoryAction | MakeFileAction,
  work: WorkTree,
  note: NoteListener,
): CopyAttributes {
  if (action.owner && work.isScratch) refuseNames(action.owner);
  const ids = action.owner && resolveOwner(action.owner, (path) => work.readText(path), note);
  // BuildKit makes them by mkdir(2) with the mode of --chmod, so its umask and no special bits count.
  const mode = action.kind === 'copy' && typeof action.mode === 'number' ? action.mode & 0o755 : 0o755;
  const newDirectory = { mode, ids: ids ?? { uid: 0, gid: 0 }, mtimeSec: action.timestampSec ?? 0 };
  return { ids, mode: action.mode, newDirectory };
}

export function planMakeDirectory(work: WorkTree, action: MakeDirectoryAction, note: NoteListener): void {
  const { newDirectory } = attributesOf(action, work, note);
  work.makeDirectories(work.resolve(action.path, true), { ...newDirectory, mode: action.mode });
}

export function planMakeFile(work: WorkTree, action: MakeFileAction, note: NoteListener): void {
  const { ids, newDirectory } = attributesOf(action, work, note);
  const resolved = work.resolve(action.path, true);
  const path =
    work.lookup(resolved)?.type === 'directory' ? joinPath(resolved, baseName(action.path)) : resolved;
  work.makeDirectories(parentPath(path), newDirectory);
  const data = Buffer.from(action.data);
  work.put({
    entry: {
      path,
      type: 'file',
      mode: action.mode,
      ...(ids ?? { uid: 0, gid: 0 }),
      size: data.length,
      mtimeSec: action.timestampSec ?? 0,
    },
    content: data,
  });
}

export interface CopyListeners {
  /** Plans an archive in place of a file and says so; asked for files of ADD only. */
  readonly unpack: (match: Match, directory: string, attributes: CopyAttributes) => Promise<boolean>;
  readonly note: NoteListener;
}

/**
 * Plans COPY, as BuildKit does it: a directory's contents are merged into the destination, whose own attributes do not come
 * from the source; directories further down take the source's attributes even where they exist; a file goes into a
 * destination that is a directory, and takes the place of anything but a directory.
 */
export async function planCopy(
  work: WorkTree,
  tree: SourceTree,
  action: CopyAction,
  { unpack, note }: CopyListeners,
): Promise<void> {
  const attributes = attributesOf(action, work, note);
  const excludes = excludeMatcher(action);
  const matches = selectMatches(tree, action);
  if (action.parents && action.destinationIsDirectory)
    work.makeDirectories(destinationOf(work, action.destination), attributes.newDirectory);
  for (const match of matches) {
    const destination = action.parents
      ? joinPath(action.destination, parentPath(match.kept))
      : action.destination;
    if (action.parents)
      await planParents(work, tree, match, destinationOf(work, action.destination), attributes);
    const target = destinationOf(work, destination);
    if (match.entry.type === 'directory') {
      const directory = action.parents ? joinPath(target, baseName(match.path)) : target;
      work.makeDirectories(directory, attributes.newDirectory);
      work.touchDirectory(directory, match.entry.mtimeSec);
      if (action.parents) await putEntry(work, tree, match.resolved, match.entry, directory, attributes);
      await planBelow(work, tree, match, directory, attributes, excludes);
      continue;
    }
    if (action.unpack && (await unpack(match, target, attributes))) continue;
    const intoDirectory =
      action.destinationIsDirectory || action.parents || work.lookup(target)?.type === 'directory';
    const path = intoDirectory ? joinPath(target, baseName(match.path)) : target;
    work.makeDirectories(parentPath(path), attributes.newDirectory);
    await putEntry(work, tree, match.resolved, match.entry, path, attributes, match.path);
  }
}

/** Links in the destination are followed, the last one too. */
function destinationOf(work: WorkTree, destination: string): string {
  return work.resolve(destination, true);
}

/** `--parents`: the source's directories above the match, with their attributes. */
async function planParents(
  work: WorkTree,
  tree: SourceTree,
  match: Match,
  target: string,
  attributes: CopyAttributes,
): Promise<void> {
  work.makeDirectories(target, attributes.newDirectory);
  const base = match.path.slice(0, Math.max(0, match.path.length - match.kept.length - 1));
  let at = '';
  for (const name of parentPath(match.kept).split('/').filter(Boolean)) {
    at = joinPath(at, name);
    const source = tree.resolve(joinPath(base, at), true);
    const entry = tree.lookup(source);
    if (entry?.type === 'directory')
      await putEntry(work, tree, source, entry, joinPath(target, at), attributes);
    else work.makeDirectories(joinPath(target, at), attributes.newDirectory);
  }
}

async function planBelow(
  work: WorkTree,
  tree: SourceTree,
  match: Match,
  directory: string,
  attributes: CopyAttributes,
  excludes: PatternMatcher | undefined,
): Promise<void> {
  for (const { path, relative, entry } of walkMatch(tree, match, excludes)) {
    if (relative === '') continue;
    const target = joinPath(directory, relative);
    if (excludes) work.makeDirectories(parentPath(target), attributes.newDirectory);
    await putEntry(work, tree, path, entry, target, attributes, match.path);
  }
}

async function putEntry(
  work: WorkTree,
  tree: SourceTree,
  source: string,
  entry: LayerEntry,
  path: string,
  attributes: CopyAttributes,
  inodeScope = '',
): Promise<void> {
  const existing = work.lookup(path);
  if (existing && (existing.type === 'directory') !== (entry.type === 'directory')) {
    if (entry.type === 'directory') throw notDirectory(path, existing.linkName);
    throw new BuildError('FILE_OPERATION_FAILED', `cannot replace the directory "/${path}" with a file`, {
      hint: 'copy to another path, or remove the directory in an earlier RUN',
    });
  }
  const { type, size, mtimeSec, linkName, deviceMajor, deviceMinor, xattrs } = entry;
  const capability = xattrs?.['security.capability'];
  const mode = modeOf(entry, attributes.mode);
  const uid = attributes.ids?.uid ?? entry.uid;
  const gid = attributes.ids?.gid ?? entry.gid;
  // What was scanned must be what is copied: the writer compares.
  const digest = type === 'file' ? await tree.digest(source, entry) : undefined;
  // Most are plain files. What is named as a whole takes a third of the room that it takes when it is spread.
  const planned: LayerEntry =
    digest !== undefined && capability === undefined
      ? { path, type, mode, uid, gid, size, mtimeSec, digest }
      : {
          ...{ path, type, mode, uid, gid, size, mtimeSec },
          ...(linkName === undefined ? {} : { linkName }),
          ...(deviceMajor === undefined ? {} : { deviceMajor, deviceMinor: deviceMinor ?? 0 }),
          ...(digest === undefined ? {} : { digest }),
          ...(capability === undefined ? {} : { xattrs: { 'security.capability': capability } }),
        };
  if (entry.type !== 'file') return work.put({ entry: planned });
  const inode = tree.inode(source, entry);
  work.put({
    entry: planned,
    source: tree,
    sourcePath: source,
    ...(inode === undefined ? {} : { inode: `${inodeScope} ${inode}` }),
  });
}

function modeOf(entry: LayerEntry, mode: number | string | undefined): number {
  if (mode === undefined || entry.type === 'symlink') return entry.mode;
  return typeof mode === 'number' ? mode : applySymbolicMode(entry.mode, mode, entry.type === 'directory');
}
