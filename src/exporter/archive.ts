import {
  copyFileSync,
  createReadStream,
  createWriteStream,
  existsSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ContentStore } from '../cache/content-store.js';
import { statIfThere } from '../cache/if-there.js';
import { NAME_ANNOTATION, TAG_ANNOTATION } from '../cache/image-store.js';
import { removeTemporariesIn, removeTemporary, temporaryBeside } from '../cache/leftovers.js';
import { makeDirectories } from '../cache/make-directories.js';
import { BuildError } from '../errors.js';
import { type Descriptor, MEDIA_TYPES } from '../oci/descriptor.js';
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.js';
import type { ImageIndex } from '../oci/manifest.js';
import { familiarReference, parseReference } from '../oci/reference.js';
import { TAR_END, tarPadding } from '../oci/tar/tar-entry.js';
import { encodeTarHeader } from '../oci/tar/tar-writer.js';
import type { StoredTree } from './image-tree.js';

/** An image of an archive with its full names. */
export interface NamedTree {
  readonly tree: StoredTree;
  readonly names: readonly string[];
}

export type ArchiveFile = { readonly name: string; readonly size: number } & (
  { readonly data: Buffer } | { readonly path: string }
);

/** All blobs of the trees, each once, sorted. */
function blobsOf(trees: readonly StoredTree[]): Descriptor[] {
  const all = trees.flatMap((tree) => [
    tree.root,
    ...tree.platforms.flatMap((platform) => [platform.manifest, ...platform.blobs]),
  ]);
  const unique = new Map(all.map((blob) => [blob.digest, blob]));
  return [...unique.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

function blobName(blob: Descriptor): string {
  return `blobs/${digestAlgorithm(blob.digest)}/${digestHex(blob.digest)}`;
}

/** index.json of a layout: each image under each of its names. */
export function layoutIndex(images: readonly NamedTree[]): Buffer {
  const manifests = images.flatMap(({ tree, names }) =>
    (names.length === 0 ? [undefined] : names).map((name) => ({
      ...tree.root,
      ...(name === undefined
        ? {}
        : { annotations: { [NAME_ANNOTATION]: name, [TAG_ANNOTATION]: parseReference(name).tag ?? '' } }),
    })),
  );
  const index: ImageIndex = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
  return Buffer.from(JSON.stringify(index));
}

const LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** manifest.json of docker archives: what `docker load` reads. */
function dockerManifest(images: readonly NamedTree[]): Buffer {
  const list = images.map(({ tree, names }) => {
    if (tree.platforms.length !== 1) {
      throw new BuildError('EXPORT_FAILED', 'a docker archive holds images of one platform only', {
        hint: 'use -o type=oci, or one --platform',
      });
    }
    const [config, ...layers] = tree.platforms[0]!.blobs;
    return {
      Config: blobName(config!),
      RepoTags: names.length === 0 ? null : names.map((name) => familiarReference(parseReference(name))),
      Layers: layers.map(blobName),
    };
  });
  return Buffer.from(JSON.stringify(list));
}

/**
 * The files of an OCI archive, or of a docker archive, which is one with manifest.json beside it; sorted.
 * @param without blobs that the reader has already
 */
export function archiveFiles(
  images: readonly NamedTree[],
  content: ContentStore,
  docker: boolean,
  without: ReadonlySet<Digest> = new Set(),
): ArchiveFile[] {
  const all = blobsOf(images.map((image) => image.tree));
  const blobs = all
    .filter(({ digest }) => !without.has(digest))
    .map((blob): ArchiveFile => ({
      name: blobName(blob),
      size: blob.size,
      path: content.path(blob.digest),
    }));
  const text = (name: string, data: Buffer): ArchiveFile => ({ name, size: data.length, data });
  return [
    ...blobs,
    text('index.json', layoutIndex(images)),
    ...(docker ? [text('manifest.json', dockerManifest(images))] : []),
    text('oci-layout', LAYOUT),
  ];
}

const OWNER = { uid: 0, gid: 0, mtimeSec: 0 };

const directoryHeader = (name: string): Buffer =>
  encodeTarHeader({ ...OWNER, name, type: 'directory', mode: 0o755, size: 0 });

/** What every archive begins with. */
export const archiveHead = (): Buffer => directoryHeader('blobs');

/** What stands before, and after, each file's bytes; sizes are known beforehand. */
export function archiveFrame(files: readonly ArchiveFile[]): {
  readonly directories: Buffer;
  readonly headerOf: (file: ArchiveFile) => Buffer;
} {
  const names = new Set(files.map((file) => dirname(file.name)).filter((dir) => dir.startsWith('blobs/')));
  return {
    directories: Buffer.concat([archiveHead(), ...[...names].map(directoryHeader)]),
    headerOf: ({ name, size }) =>
      encodeTarHeader({
        ...OWNER,
        name,
        type: 'file',
        mode: name.startsWith('blobs/') ? 0o444 : 0o644,
        size,
      }),
  };
}

/** Sooner read than a stream is made. */
const READ_AT_ONCE_BYTES = 1 << 18;

/** The archive's bytes in one pass, for what is not a file. */
export async function* archiveBytes(files: readonly ArchiveFile[]): AsyncIterable<Uint8Array> {
  const frame = archiveFrame(files);
  yield frame.directories;
  for (const file of files) {
    yield frame.headerOf(file);
    if ('data' in file) yield file.data;
    else if (file.size <= READ_AT_ONCE_BYTES) yield readFileSync(file.path);
    else yield* createReadStream(file.path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
    const padding = tarPadding(file.size);
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield TAR_END;
}

/** The length of what {@link archiveBytes} gives. */
export function archiveSize(files: readonly ArchiveFile[]): number {
  const frame = archiveFrame(files);
  const sizes = files.map((file) => frame.headerOf(file).length + file.size + tarPadding(file.size));
  return sizes.reduce((sum, size) => sum + size, frame.directories.length + TAR_END.length);
}

/** Writes to standard output for `-`, else to a file that gets its name when it is whole. @throws EXPORT_FAILED */
export async function writeDestination(
  bytes: AsyncIterable<Uint8Array>,
  dest: string,
  stdout: Writable | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (dest === '-') {
    await pipeline(bytes, stdout ?? process.stdout, { end: false, signal });
    return;
  }
  if (isSpecialFile(dest)) {
    await pipeline(bytes, createWriteStream(dest), { signal });
    return;
  }
  removeTemporariesIn(dirname(dest), basename(dest));
  const temporary = temporaryBeside(dest);
  try {
    await pipeline(bytes, createWriteStream(temporary, { highWaterMark: 1 << 20 }), { signal });
    renameSync(temporary, dest);
  } catch (error) {
    removeTemporary(temporary);
    if (signal.aborted) throw signal.reason;
    if (error instanceof BuildError) throw error;
    throw exportFailed(dest, error);
  }
}

/** A pipe or a device takes the bytes and stays what it is. */
export function isSpecialFile(dest: string): boolean {
  const stat = statIfThere(dest);
  return stat !== undefined && !stat.isFile() && !stat.isDirectory();
}

/** Writes an OCI layout as a directory; blobs that are there stay. @throws EXPORT_FAILED */
export function writeLayout(images: readonly NamedTree[], content: ContentStore, directory: string): void {
  try {
    const files = archiveFiles(images, content, false);
    for (const place of new Set(files.map(({ name }) => dirname(join(directory, name)))))
      removeTemporariesIn(place);
    for (const file of files) {
      const target = join(directory, file.name);
      if (file.name.startsWith('blobs/') && existsSync(target)) continue;
      makeDirectories(dirname(target));
      const temporary = temporaryBeside(target);
      if ('data' in file) writeFileSync(temporary, file.data);
      else copyFileSync(file.path, temporary);
      renameSync(temporary, target);
    }
  } catch (error) {
    throw exportFailed(directory, error);
  }
}

export function exportFailed(dest: string, cause: unknown): BuildError {
  const { code, message, syscall } = cause as NodeJS.ErrnoException;
  const hint =
    code === 'ENOENT' && syscall === 'mkdir'
      ? 'choose another place: no directory can be made in this one'
      : WRITE_HINTS.get(code ?? '');
  return new BuildError('EXPORT_FAILED', `"${dest}" cannot be written: ${message}`, { cause, hint });
}

const WRITE_HINTS: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'make the directory first'],
  ['ENOTDIR', 'choose a place that is not below a file'],
  ['EEXIST', 'choose another place, or remove what has the name'],
  ['EACCES', 'choose a place that you may write'],
  ['EPERM', 'choose a place that you may write'],
  ['EROFS', 'choose a place that can be written'],
  ['ENOSPC', 'make room on the disk'],
  ['EISDIR', 'name a file in that directory'],
]);
