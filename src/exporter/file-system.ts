import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { makeDirectories } from '../cache/make-directories.js';
import type { BuiltImage } from '../graph/contract.js';
import { throwIfAborted } from '../errors.js';
import { fileTime, TAR_END, tarPadding } from '../oci/tar/tar-entry.js';
import { encodeTarHeader } from '../oci/tar/tar-writer.js';
import type { LayerEntry } from '../worker/snapshot/layer-index.js';
import type { FileContent } from '../worker/snapshot/layer-writer.js';
import { LayeredTree } from '../worker/source/layered-tree.js';
import { joinPath } from '../worker/snapshot/path-order.js';
import { makeNode, setXattr } from '../worker/sys/syscalls.js';
import { exportFailed } from './archive.js';
import type { ExportDependencies } from './export-dependencies.js';

interface TreeFile {
  readonly path: string;
  readonly entry: LayerEntry;
  readonly content?: FileContent;
  /** The first path of the same file. */
  readonly linkTo?: string;
}

/** The merged file system of an image, parents before children, sorted. */
async function* mergedFiles(image: BuiltImage, deps: ExportDependencies): AsyncGenerator<TreeFile> {
  const indexes = await deps.layers.indexes(image.layers, deps.signal, deps.onProgress);
  await deps.layers.ensureContents(image.layers, deps.signal, deps.onProgress);
  const tree = new LayeredTree(image.layers, indexes, deps.layers);
  const first = new Map<string, string>();
  const visit = function* (dir: string): Generator<TreeFile> {
    for (const name of tree.list(dir)) {
      const path = joinPath(dir, name);
      const entry = tree.lookup(path)!;
      const inode = entry.type === 'file' ? tree.inode(path) : undefined;
      const linkTo = inode === undefined ? undefined : first.get(inode);
      if (inode !== undefined && linkTo === undefined) first.set(inode, path);
      yield {
        path,
        entry,
        ...(entry.type === 'file' ? { content: tree.content(path) } : {}),
        ...(linkTo === undefined ? {} : { linkTo }),
      };
      if (entry.type === 'directory') yield* visit(path);
    }
  };
  yield* visit('');
}

/** `type=tar`: the merged file system as one archive. */
export async function* fileSystemTar(
  image: BuiltImage,
  deps: ExportDependencies,
  prefix = '',
): AsyncIterable<Uint8Array> {
  for await (const { path, entry, content, linkTo } of mergedFiles(image, deps)) {
    throwIfAborted(deps.signal);
    const { xattrs: _xattrs, linkName, type, ...rest } = entry;
    const target = linkTo === undefined ? linkName : joinPath(prefix, linkTo);
    const tarType = linkTo === undefined ? (type as Exclude<LayerEntry['type'], 'whiteout'>) : 'hardlink';
    yield encodeTarHeader({
      ...rest,
      name: joinPath(prefix, path),
      type: tarType,
      ...(target === undefined ? {} : { linkName: target }),
      ...(entry.xattrs
        ? {
            xattrs: Object.fromEntries(
              Object.entries(entry.xattrs).map(([name, value]) => [name, Buffer.from(value, 'base64')]),
            ),
          }
        : {}),
    });
    if (!content || linkTo !== undefined) continue;
    yield* readContent(content);
    yield Buffer.alloc(tarPadding(content.length));
  }
}

export const TAR_TRAILER = TAR_END;

function* readContent(content: FileContent): Generator<Uint8Array> {
  const fd = openSync(content.path, 'r');
  try {
    for (let at = 0; at < content.length;) {
      const buffer = Buffer.allocUnsafe(Math.min(1 << 20, content.length - at));
      const read = readSync(fd, buffer, 0, buffer.length, (content.offset ?? 0) + at);
      if (read === 0) throw new Error(`"${content.path}" is shorter than expected`);
      at += read;
      yield buffer.subarray(0, read);
    }
  } finally {
    closeSync(fd);
  }
}

/** `type=local`: the merged file system below a directory; what is there and not in the image stays. @throws EXPORT_FAILED */
export async function writeFileSystem(
  image: BuiltImage,
  directory: string,
  deps: ExportDependencies,
): Promise<void> {
  const directories: { path: string; entry: LayerEntry }[] = [];
  let count = 0;
  try {
    makeDirectories(directory);
    for await (const file of mergedFiles(image, deps)) {
      if (++count % 500 === 0) await yieldToEvents();
      throwIfAborted(deps.signal);
      placeFile(directory, file);
      if (file.entry.type === 'directory')
        directories.push({ path: join(directory, file.path), entry: file.entry });
    }
    for (const { path, entry } of directories.toReversed())
      utimesSync(path, fileTime(entry.mtimeSec), fileTime(entry.mtimeSec));
  } catch (error) {
    throwIfAborted(deps.signal);
    throw exportFailed(directory, error);
  }
}

/** Nothing is written through a link that stood there before. */
function placeFile(directory: string, { path, entry, content, linkTo }: TreeFile): void {
  const target = join(directory, path);
  const existing = lstatSync(target, { throwIfNoEntry: false });
  if (existing && !(existing.isDirectory() && entry.type === 'directory'))
    rmSync(target, { recursive: true, force: true });
  makeDirectories(dirname(target));
  if (linkTo !== undefined) {
    linkSync(join(directory, linkTo), target);
    return;
  }
  if (entry.type === 'directory') makeDirectories(target);
  else if (entry.type === 'symlink') symlinkSync(entry.linkName!, target);
  else if (content) {
    const fd = openSync(target, 'wx', 0o600);
    try {
      for (const chunk of readContent(content))
        for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
    } finally {
      closeSync(fd);
    }
  } else
    makeNode(
      target,
      { fifo: 0o010600, char: 0o020600, block: 0o060600 }[entry.type as 'fifo' | 'char' | 'block'],
      entry.deviceMajor ?? 0,
      entry.deviceMinor ?? 0,
    );
  if (process.getuid?.() === 0) lchownSync(target, entry.uid, entry.gid);
  if (entry.type === 'symlink') return;
  chmodSync(target, entry.mode);
  for (const [name, value] of Object.entries(entry.xattrs ?? {}))
    setXattr(target, name, Buffer.from(value, 'base64'));
  if (entry.type !== 'directory') lutimesSync(target, fileTime(entry.mtimeSec), fileTime(entry.mtimeSec));
}
