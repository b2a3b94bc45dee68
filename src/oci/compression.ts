import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import { BuildError } from '../errors.js';
import type { Compression } from './descriptor.js';

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
  for (let length = 0; length < 6;) {
    const { done, value } = await chunks.next();
    if (done) break;
    first.push(value);
    length += value.length;
  }
  yield* decompress(prepend(first, chunks), detectCompression(Buffer.concat(first).subarray(0, 6)));
}

async function* prepend(
  first: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncIterable<Uint8Array> {
  yield* first;
  yield* { [Symbol.asyncIterator]: () => rest };
}

/** @throws COMPRESSION_INVALID for damaged data, UNSUPPORTED where zstd cannot be read here */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: ReadCompression,
): AsyncIterable<Uint8Array> {
  if (compression === 'uncompressed') {
    yield* source;
    return;
  }
  let sourceError: unknown;
  try {
    yield* await decompressor(compression)(guard(source, (error) => (sourceError = error)));
  } catch (error) {
    if (sourceError !== undefined) throw sourceError;
    if (error instanceof BuildError) throw error;
    throw new BuildError(
      'COMPRESSION_INVALID',
      `the ${compression} data is damaged: ${(error as Error).message}`,
      { cause: error },
    );
  }
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

type Transform = (source: AsyncIterable<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>;

function decompressor(compression: Exclude<ReadCompression, 'uncompressed'>): Transform {
  const decompressors: Record<typeof compression, Transform> = {
    gzip: async (source) =>
      Readable.from(source, { objectMode: false }).compose(zlib.createGunzip({ chunkSize: 1 << 18 })),
    zstd: (source) => zstdStream('decompress', source),
    bzip2: async (source) => {
      const { default: unbzip2 } = await import('unbzip2-stream');
      return throughLegacyStream(source, unbzip2() as unknown as LegacyStream);
    },
    xz: async (source) => {
      const { XzReadableStream } = await import('xz-decompress');
      const web = Readable.toWeb(Readable.from(source, { objectMode: false }));
      return new XzReadableStream(web as never) as unknown as AsyncIterable<Uint8Array>;
    },
  };
  return decompressors[compression];
}

/** The streams of Node 0.8: synchronous, with events only. */
interface LegacyStream {
  on(event: 'data', listener: (chunk: Uint8Array) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  write(chunk: Uint8Array): void;
  end(): void;
}

async function* throughLegacyStream(
  source: AsyncIterable<Uint8Array>,
  stream: LegacyStream,
): AsyncIterable<Uint8Array> {
  const output: Uint8Array[] = [];
  let failure: Error | undefined;
  stream.on('data', (chunk) => output.push(chunk));
  stream.on('error', (error) => (failure ??= error));
  const taken = () => {
    if (failure) throw failure;
    return output.splice(0);
  };
  for await (const chunk of source) {
    stream.write(chunk);
    yield* taken();
  }
  stream.end();
  yield* taken();
}

/** @throws UNSUPPORTED where nothing on this machine writes zstd */
export async function compressZstd(source: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  return zstdStream('compress', source);
}

const ZSTD_LEVEL = 3;

/**
 * With workers, even with one, zstd cuts its input into jobs of a fixed size: the bytes are the same for any number of them.
 */
const ZSTD_ARGUMENTS = { compress: ['-q', '-c', `-${ZSTD_LEVEL}`, '-T0'], decompress: ['-q', '-c', '-d'] };

/** zstd-napi where it was installed, else Node's own (22.15 and later), else the zstd program. */
async function zstdStream(
  direction: 'compress' | 'decompress',
  source: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array>> {
  const stream = (await zstdNapi(direction)) ?? zstdOfNode(direction);
  const readable = Readable.from(source, { objectMode: false });
  if (stream) return readable.compose(stream);
  return throughProgram(readable, direction);
}

async function zstdNapi(direction: 'compress' | 'decompress') {
  try {
    const zstd = await import('zstd-napi');
    if (direction === 'decompress') return new zstd.DecompressStream();
    return new zstd.CompressStream({ compressionLevel: ZSTD_LEVEL, nbWorkers: availableParallelism() });
  } catch {
    return undefined;
  }
}

function zstdOfNode(direction: 'compress' | 'decompress') {
  const own = zlib as unknown as Record<string, (() => zlib.Gzip) | undefined>;
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
    child.once('error', (error) => resolve(notAvailable(error)));
    child.once('close', (status) =>
      resolve(status === 0 ? undefined : new Error(`zstd ended with status ${status}`)),
    );
  });
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
