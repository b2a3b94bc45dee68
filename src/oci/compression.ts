import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { pipeline, Readable, type Transform } from 'node:stream';
import { createGunzip, type Gzip } from 'node:zlib';
import type ZstdBinding from 'zstd-napi/binding.js';
import { BuildError, isOpenFilesLimit } from '../errors.js';
import type { Compression } from './descriptor.js';
import { gunzipHere } from './gunzip-here.js';
import { limitHint, LIMITS } from './limits.js';

export type ReadCompression = Compression | 'bzip2' | 'xz';

/** What the first bytes of a stream say (six are enough). */
export function detectCompression(head: Uint8Array): ReadCompression {
  const starts = (...bytes: number[]) => bytes.every((byte, i) => head[i] === byte);
  if (starts(0x1f, 0x8b)) return 'gzip';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  if (starts(0x42, 0x5a, 0x68)) return 'bzip2';
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  return 'uncompressed';
}

/** Decompresses by what the stream's first bytes say. @throws COMPRESSION_INVALID */
export async function* decompressAny(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  try {
    for (let length = 0; length < 6;) {
      const { done, value } = await chunks.next();
      if (done) break;
      first.push(value);
      length += value.length;
    }
    yield* decompress(prepend(first, chunks), detectCompression(Buffer.concat(first).subarray(0, 6)));
  } finally {
    leave(chunks);
  }
}

/** Not every codec tells its source that nobody reads on; nobody waits for what a source has under way. */
function leave(chunks: AsyncIterator<Uint8Array>): void {
  Promise.resolve(chunks.return?.()).catch(() => undefined);
}

async function* prepend(
  first: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncIterable<Uint8Array> {
  yield* first;
  yield* { [Symbol.asyncIterator]: () => rest };
}

/** As xz-decompress words it. */
const XZ_OPTIONS_ERROR = /error code 6$/;

/**
 * @param thread `own`: of one that has nothing else to do; chunks, given and taken, are valid until the next one is asked for there
 * @throws COMPRESSION_INVALID for damaged data and bombs, UNSUPPORTED where zstd, or what xz was told, cannot be read here
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: ReadCompression,
  thread: 'own' | 'shared' = 'shared',
): AsyncIterable<Uint8Array> {
  if (compression === 'uncompressed') {
    yield* source;
    return;
  }
  let sourceError: unknown;
  let [packed, unpacked] = [0, 0];
  const chunks = source[Symbol.asyncIterator]();
  const counted = counting({ [Symbol.asyncIterator]: () => chunks }, (bytes) => (packed += bytes));
  try {
    const guarded = guard(counted, (error) => (sourceError = error));
    const here = compression === 'gzip' && thread === 'own' ? gunzipHere(guarded) : undefined;
    const streamed = () => decompressor(compression)(thread === 'own' ? copied(guarded) : guarded);
    for await (const chunk of here ?? (await streamed())) {
      unpacked += chunk.length;
      if (unpacked > LIMITS.inflatedBytes && unpacked > packed * LIMITS.inflationRatio)
        throw bomb(compression, packed);
      yield chunk;
    }
  } catch (error) {
    if (sourceError !== undefined) throw sourceError;
    if (error instanceof BuildError) throw error;
    if (compression === 'xz' && XZ_OPTIONS_ERROR.test((error as Error).message))
      throw new BuildError('UNSUPPORTED', 'the xz data has a filter or a check that cannot be read here', {
        hint: 'compress it again with xz --check=crc64',
        cause: error,
      });
    throw new BuildError(
      'COMPRESSION_INVALID',
      `the ${compression} data is damaged: ${(error as Error).message}`,
      { cause: error },
    );
  } finally {
    leave(chunks);
  }
}

async function* counting(
  source: AsyncIterable<Uint8Array>,
  count: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of source) {
    count(chunk.length);
    yield chunk;
  }
}

/** A few kilobytes that become terabytes: no honest layer or archive is like that. */
function bomb(compression: ReadCompression, packed: number): BuildError {
  return new BuildError(
    'COMPRESSION_INVALID',
    `the ${compression} data grows to more than ${LIMITS.inflatedBytes} bytes and ${LIMITS.inflationRatio} times its size (${packed} bytes read)`,
    { hint: `it looks like a bomb; ${limitHint('inflationRatio')}` },
  );
}

/** Keeps errors of the source apart from errors of the codec. */
async function* guard(
  source: AsyncIterable<Uint8Array>,
  onError: (error: unknown) => void,
): AsyncIterable<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    onError(error);
    throw error;
  }
}

/** Unpacked at a time: of the files in a layer, only those at the ends of a piece are read in two parts. */
const GUNZIP_BYTES = 1 << 20;

type Decompressor = (source: AsyncIterable<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>;

function decompressor(compression: Exclude<ReadCompression, 'uncompressed'>): Decompressor {
  const decompressors: Record<typeof compression, Decompressor> = {
    gzip: async (source) => through(source, createGunzip({ chunkSize: GUNZIP_BYTES })),
    zstd: (source) => zstdStream('decompress', source),
    bzip2: async (source) => (await import('./bzip2.js')).decompressBzip2(source),
    xz: async (source) => {
      const { XzReadableStream } = await import('xz-decompress');
      return new XzReadableStream(webStream(source) as never) as unknown as AsyncIterable<Uint8Array>;
    },
  };
  return decompressors[compression];
}

/** `Readable.toWeb` gives one more chunk to a reader that has left, an error that nobody catches. */
function webStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const pulled = {
    pull: async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  };
  return new ReadableStream(pulled, { highWaterMark: 0 });
}

/** An error of either end ends the other, and reaches the reader once: `compose` lets it end the process, too. */
function through(source: AsyncIterable<Uint8Array>, transform: Transform): AsyncIterable<Uint8Array> {
  pipeline(Readable.from(source, { objectMode: false }), transform, () => undefined);
  return transform as AsyncIterable<Uint8Array>;
}

/**
 * Chunks, given and taken, are valid until the next one is asked for.
 * @throws UNSUPPORTED where nothing on this machine writes zstd
 */
export async function compressZstd(source: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const binding = await ifInstalled(async () => (await import('zstd-napi/binding.js')).default);
  return binding ? compressed(source, binding) : zstdStream('compress', copied(source));
}

const ZSTD_LEVEL = 3;

/**
 * With workers, even with one, zstd cuts its input into jobs of a fixed size: the bytes are the same for any number of them.
 */
const ZSTD_ARGUMENTS = { compress: ['-q', '-c', `-${ZSTD_LEVEL}`, '-T0'], decompress: ['-q', '-c', '-d'] };
const OUTPUT_BYTES = 1 << 20;

/** Through one buffer: a stream of Node's would take longer to hand the bytes on than zstd's threads take to compress them. */
async function* compressed(
  source: AsyncIterable<Uint8Array>,
  { CCtx, CParameter, EndDirective }: typeof ZstdBinding,
): AsyncIterable<Uint8Array> {
  const output = Buffer.allocUnsafe(OUTPUT_BYTES);
  const context = new CCtx();
  context.setParameter(CParameter.compressionLevel, ZSTD_LEVEL);
  context.setParameter(CParameter.nbWorkers, availableParallelism());
  for await (const chunk of source) {
    for (let rest = chunk; rest.length > 0;) {
      const [, made, taken] = context.compressStream2(output, rest, EndDirective.continue);
      if (made > 0) yield output.subarray(0, made);
      rest = rest.subarray(taken);
    }
  }
  for (let isDone = false; !isDone;) {
    const [left, made] = context.compressStream2(output, new Uint8Array(), EndDirective.end);
    if (made > 0) yield output.subarray(0, made);
    isDone = left === 0;
  }
}

async function* copied(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const chunk of source) yield Buffer.from(chunk);
}

/** zstd-napi where it was installed, else Node's own (22.15 and later), else the zstd program. */
async function zstdStream(
  direction: 'compress' | 'decompress',
  source: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array>> {
  const napi = direction === 'decompress' ? await ifInstalled(() => import('zstd-napi')) : undefined;
  const stream = napi ? new napi.DecompressStream() : await zstdOfNode(direction);
  if (stream) return through(source, stream);
  return throughProgram(Readable.from(source, { objectMode: false }), direction);
}

/** zstd-napi is an optional dependency. */
async function ifInstalled<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch {
    return undefined;
  }
}

async function zstdOfNode(direction: 'compress' | 'decompress') {
  const own = (await import('node:zlib')) as unknown as Record<string, (() => Gzip) | undefined>;
  return (direction === 'compress' ? own['createZstdCompress'] : own['createZstdDecompress'])?.();
}

async function* throughProgram(
  source: Readable,
  direction: 'compress' | 'decompress',
): AsyncIterable<Uint8Array> {
  const child = spawn('zstd', ZSTD_ARGUMENTS[direction], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const failure = new Promise<Error | undefined>((resolve) => {
    child.once('error', (error) => resolve(isOpenFilesLimit(error) ? error : notAvailable(error)));
    child.once('close', (status) =>
      resolve(status === 0 ? undefined : new Error(`zstd ended with status ${status}`)),
    );
  });
  // Where no descriptors were left for its pipes, it has none.
  if (child.pid === undefined) throw (await failure)!;
  child.stdin.on('error', () => undefined);
  source.on('error', (error) => child.stdin.destroy(error));
  source.pipe(child.stdin);
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const error = await failure;
    if (error) throw error;
  } finally {
    child.kill();
  }
}

function notAvailable(cause: Error): BuildError {
  return new BuildError('UNSUPPORTED', 'zstd is needed, and nothing here reads or writes it', {
    cause,
    hint: 'apt-get install zstd, or use Node 22.15 or later, or install tsbuild where a compiler can build zstd-napi',
  });
}
