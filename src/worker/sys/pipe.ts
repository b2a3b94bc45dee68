import { closeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { callLibc } from './libc.js';

const BUFFER_BYTES = 1 << 16;

/** After the writer has ended, output that does not come for so long is nobody's any more. */
const IDLE_MS = 200;

/**
 * A pipe for a child's output. Node's own are sockets, which a process cannot open again as /dev/stdout. The write end is for
 * `stdio` of one spawn and is closed with {@link OutputPipe.closeWriteEnd} after it.
 */
export interface OutputPipe {
  readonly writeEnd: number;
  closeWriteEnd(): void;
  /** After the child has ended: resolves when all output was handed on. Another process may hold the pipe open; it is not waited for. */
  drain(): Promise<void>;
  /** Stops reading. */
  close(): void;
}

/** Takes output; the bytes are valid during the call. A promise stops the reading, and with it the writer, until it is settled. */
export type OutputListener = (data: Uint8Array) => void | Promise<void>;

export function openOutputPipe(onOutput: OutputListener): OutputPipe {
  const descriptors = new Int32Array(2);
  const closeOnExec = 0o2000000;
  callLibc('int pipe2(void *descriptors, int flags)', [descriptors, closeOnExec]);
  const [readEnd, writeEnd] = descriptors as unknown as [number, number];
  let waiting = false;
  let idle: NodeJS.Timeout | undefined;
  const wait = async (until: Promise<void>) => {
    waiting = true;
    await until.catch(() => undefined);
    waiting = false;
    idle?.refresh();
    stream.resume();
  };
  const options: SocketConstructorOpts & { onread: object } = {
    fd: readEnd,
    readable: true,
    writable: false,
    // One buffer for all of it: a gigabyte of output leaves no garbage.
    onread: {
      buffer: Buffer.allocUnsafe(BUFFER_BYTES),
      callback: (size: number, buffer: Buffer) => {
        idle?.refresh();
        const until = onOutput(buffer.subarray(0, size));
        if (until) void wait(until);
        return !until;
      },
    },
  };
  const stream = new Socket(options);
  stream.resume();
  return {
    writeEnd,
    closeWriteEnd: () => closeSync(writeEnd),
    drain: () => {
      if (stream.readableEnded || stream.destroyed) return Promise.resolve();
      return new Promise((resolve) => {
        idle = setTimeout(() => (waiting ? idle?.refresh() : stream.destroy()), IDLE_MS);
        stream.once('close', () => {
          clearTimeout(idle);
          resolve();
        });
      });
    },
    close: () => stream.destroy(),
  };
}
