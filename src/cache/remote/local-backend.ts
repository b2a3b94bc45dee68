import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { BuildError } from '../../errors.js';
import type { LockAcquirer } from '../../graph/contract.js';
import { type Descriptor, MEDIA_TYPES } from '../../oci/descriptor.js';
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../oci/digest.js';
import type { ImageIndex } from '../../oci/manifest.js';
import { removeLeftovers } from '../leftovers.js';
import { makeDirectories } from '../make-directories.js';
import { processStamp } from '../process-stamp.js';
import type { CacheBackend, CacheDocument } from './cache-backend.js';

/** A younger blob may belong to an export that goes on beside this one. */
const SHORTEST_LIFE_MS = 10 * 60_000;
const TAG_ANNOTATION = 'org.opencontainers.image.ref.name';

export interface LocalCacheOptions {
  /** Absolute. */
  readonly directory: string;
  readonly tag: string;
  /** In place of the tag; only for reading. */
  readonly digest?: Digest | undefined;
  /** Other tags are dropped with the next publish. */
  readonly reset?: boolean;
  readonly lock: LockAcquirer;
}

/**
 * An OCI image layout on disk. Publishing drops the blobs that no tag reaches any more, so that the directory does not grow
 * with every build.
 */
export function createLocalBackend(options: LocalCacheOptions): CacheBackend {
  const { directory, tag } = options;
  const pathOf = (digest: Digest) => join(directory, 'blobs', digestAlgorithm(digest), digestHex(digest));
  return {
    place: `directory ${directory}`,
    origin: `oci-layout://${directory}`,
    form: 'manifest',
    resolve: async () => {
      const digest =
        options.digest ??
        (await readIndex(directory)).manifests.find((entry) => entry.annotations?.[TAG_ANNOTATION] === tag)
          ?.digest;
      return digest === undefined ? undefined : readIfThere(pathOf(digest));
    },
    publish: async (document, signal) => {
      using _lock = await options.lock(`cache-${digestHex(digestOf(directory))}`, { signal });
      await publish(options, document, pathOf);
    },
    has: async (blob) => (await sizeOf(pathOf(blob.digest))) === blob.size,
    get: (blob) => createReadStream(pathOf(blob.digest), { highWaterMark: 1 << 20 }),
    put: (blob, open, { signal }) => writeWhole(pathOf(blob.digest), open(), signal),
  };
}

async function publish(
  { directory, tag, reset }: LocalCacheOptions,
  { bytes, mediaType }: CacheDocument,
  pathOf: (digest: Digest) => string,
): Promise<void> {
  const digest = digestOf(bytes);
  await writeWhole(pathOf(digest), [bytes]);
  const index = await readIndex(directory);
  const others = reset ? [] : index.manifests.filter((entry) => entry.annotations?.[TAG_ANNOTATION] !== tag);
  const own = { mediaType, digest, size: bytes.length, annotations: { [TAG_ANNOTATION]: tag } };
  const manifests = [...others, own];
  await writeWhole(join(directory, 'oci-layout'), [Buffer.from('{"imageLayoutVersion":"1.0.0"}')]);
  await writeWhole(join(directory, 'index.json'), [
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests })),
  ]);
  await dropUnreachable(directory, manifests, pathOf);
}

/** A layout that cannot be read in full keeps all of its blobs. */
async function dropUnreachable(
  directory: string,
  roots: readonly Descriptor[],
  pathOf: (digest: Digest) => string,
): Promise<void> {
  const reached = new Set<string>();
  const visit = async ({ digest, mediaType }: Descriptor): Promise<void> => {
    if (reached.has(digestHex(digest))) return;
    reached.add(digestHex(digest));
    if (!/manifest|index/.test(mediaType)) return;
    const {
      config,
      layers = [],
      manifests = [],
    } = JSON.parse(await readFile(pathOf(digest), 'utf8')) as {
      config?: Descriptor;
      layers?: readonly Descriptor[];
      manifests?: readonly Descriptor[];
    };
    for (const child of [...(config ? [config] : []), ...layers, ...manifests]) await visit(child);
  };
  try {
    for (const root of roots) await visit(root);
  } catch {
    return;
  }
  const blobs = join(directory, 'blobs/sha256');
  for (const name of await readdir(blobs)) {
    if (!/^[0-9a-f]{64}$/.test(name) || reached.has(name)) continue;
    const written = (await stat(join(blobs, name))).mtimeMs;
    if (Date.now() - written > SHORTEST_LIFE_MS) await rm(join(blobs, name));
  }
  removeLeftovers(blobs);
}

/** An empty index where there is none. @throws CACHE_INVALID */
async function readIndex(directory: string): Promise<ImageIndex> {
  const bytes = await readIfThere(join(directory, 'index.json'));
  if (bytes === undefined) return { schemaVersion: 2, manifests: [] };
  try {
    const index = JSON.parse(bytes.toString('utf8')) as ImageIndex;
    if (Array.isArray(index.manifests)) return index;
  } catch {
    // The error below says it.
  }
  throw new BuildError(
    'CACHE_INVALID',
    `"${join(directory, 'index.json')}" is not the index of an OCI layout`,
  );
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

/** @throws CACHE_FAILED */
function makeCacheDirectory(path: string): void {
  try {
    makeDirectories(path);
  } catch (error) {
    throw new BuildError('CACHE_FAILED', `the cache cannot be written: ${(error as Error).message}`, {
      cause: error,
      hint: 'choose a directory that you may write, and that is not below a file',
    });
  }
}

async function writeWhole(
  path: string,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const parent = join(path, '..');
  makeCacheDirectory(parent);
  const temporary = join(parent, `${processStamp()}-${digestHex(digestOf(path)).slice(0, 16)}`);
  try {
    await pipeline(
      Readable.from(source, { objectMode: false }),
      createWriteStream(temporary),
      ...(signal ? [{ signal }] : []),
    );
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
