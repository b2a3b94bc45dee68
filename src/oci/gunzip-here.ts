import { constants, createGunzip, type Gunzip } from 'node:zlib';

const OUTPUT_BYTES = 1 << 20;

interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputBytes: number,
    output: Uint8Array,
    outputOffset: number,
    outputBytes: number,
  ): void;
}

/** What a stream of Node's works with; it is not documented, so that nothing may depend on its being there. */
interface Internals {
  readonly _handle?: Partial<Handle>;
  /** After a write: the bytes of output that are free, and those of input that are left. */
  readonly _writeState?: Uint32Array;
}

const NOTHING = new Uint8Array(0);

/**
 * Unpacks gzip in this thread, through one buffer: a stream takes a new one for each piece, for which V8 collects its whole heap again
 * and again, and hands each piece to another thread and back. Chunks, given and taken, are valid until the next one is asked for.
 * Several members are read as one (RFC 1952, 2.2), and what follows them is left from a zero on, as with a stream. Undefined where this
 * Node has no such thing.
 */
export function gunzipHere(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> | undefined {
  const gunzip = createGunzip() as Gunzip & Internals;
  const { _handle: handle, _writeState: state } = gunzip;
  if (typeof handle?.writeSync === 'function' && state instanceof Uint32Array)
    return unpacked(source, gunzip, handle as Handle, state);
  gunzip.close();
  return undefined;
}

async function* unpacked(
  source: AsyncIterable<Uint8Array>,
  gunzip: Gunzip,
  handle: Handle,
  state: Uint32Array,
): AsyncIterable<Uint8Array> {
  const output = Buffer.allocUnsafe(OUTPUT_BYTES);
  // It is thrown by what has caused it.
  gunzip.on('error', () => undefined);
  let isOver = false;
  function* add(flush: number, input: Uint8Array): Iterable<Uint8Array> {
    for (let at = 0, free = 0; free === 0;) {
      handle.writeSync(flush, input, at, input.length - at, output, 0, output.length);
      if (gunzip.errored) throw gunzip.errored;
      const [outputFree, inputLeft] = state as unknown as [number, number];
      [at, free] = [input.length - inputLeft, outputFree];
      if (free < output.length) yield output.subarray(0, output.length - free);
    }
    isOver = state[1]! > 0;
  }
  try {
    for await (const chunk of source) {
      yield* add(constants.Z_NO_FLUSH, chunk);
      if (isOver) return;
    }
    yield* add(constants.Z_FINISH, NOTHING);
  } finally {
    gunzip.close();
  }
}
