import { availableParallelism } from 'node:os';
import { constants, crc32, deflateRaw } from 'node:zlib';

/** Blocks are compressed apart from each other: what they cannot refer back to costs less than one percent at this size. */
const BLOCK_BYTES = 1 << 20;
/** Data is looked at in pieces of this size, far below that of most files, to tell what cannot be compressed. */
const PIECE_BYTES = 1 << 16;
const SAMPLES = 4096;
const LEVEL = 6;

/** RFC 1952: deflate, no flags, no time, no hint, Unix. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
/** An empty last block with fixed codes (RFC 1951, 3.2.6). */
const END = Buffer.from([3, 0]);

/**
 * One gzip member whose blocks are compressed beside each other on all cores. The bytes depend on the data alone: not on the
 * number of cores, nor on how `source` is cut into chunks. What looks random (archives, pictures) is stored.
 */
export async function* compressGzip(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const width = availableParallelism() + 1;
  const running: Promise<Buffer>[] = [];
  let crc = 0;
  let size = 0;
  try {
    yield HEADER;
    for await (const piece of blocksOf(source)) {
      crc = crc32(piece.data, crc);
      size += piece.data.length;
      running.push(deflateBlock(piece));
      if (running.length >= width) yield await running.shift()!;
    }
    while (running.length > 0) yield await running.shift()!;
  } finally {
    await Promise.allSettled(running);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield END;
  yield trailer;
}

interface Block {
  readonly data: Uint8Array;
  readonly isRandom: boolean;
}

/** Whole bytes at the end, so that blocks can be joined. */
function deflateBlock({ data, isRandom }: Block): Promise<Buffer> {
  const options = { level: isRandom ? 0 : LEVEL, finishFlush: constants.Z_SYNC_FLUSH };
  return new Promise((resolve, reject) => {
    deflateRaw(data, options, (error, deflated) => (error ? reject(error) : resolve(deflated)));
  });
}

/** Runs of pieces that are alike, at most a block long. */
async function* blocksOf(source: AsyncIterable<Uint8Array>): AsyncIterable<Block> {
  let run: Uint8Array[] = [];
  let isRandom = false;
  const ended = (): Block => ({ data: run.length === 1 ? run[0]! : Buffer.concat(run), isRandom });
  for await (const piece of piecesOf(source)) {
    const random = looksRandom(piece);
    if (run.length > 0 && (random !== isRandom || run.length * PIECE_BYTES >= BLOCK_BYTES)) {
      yield ended();
      run = [];
    }
    run.push(piece);
    isRandom = random;
  }
  if (run.length > 0) yield ended();
}

/** The same bytes in pieces of one size, the last one shorter. */
async function* piecesOf(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let piece = Buffer.allocUnsafe(PIECE_BYTES);
  let filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + PIECE_BYTES - filled);
      piece.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      piece = Buffer.allocUnsafe(PIECE_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

const counts = new Uint16Array(256);

/**
 * Whether bytes are spread as evenly as chance would: the sum of the squared counts of `n` random bytes is near n + n²/256,
 * with a deviation of less than one percent for 4,096 samples; text and programs have several times that.
 */
function looksRandom(piece: Uint8Array): boolean {
  if (piece.length < SAMPLES) return false;
  counts.fill(0);
  const stride = Math.floor(piece.length / SAMPLES);
  for (let i = 0; i < SAMPLES; i++) {
    const byte = piece[i * stride]!;
    counts[byte] = counts[byte]! + 1;
  }
  let squares = 0;
  for (const count of counts) squares += count * count;
  return squares < 1.05 * (SAMPLES + SAMPLES ** 2 / 256);
}
