import { closeSync, readSync, writeSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { callLibc, isErrno } from './libc.js';
import { isMainThread } from './spawn.js';

const BUFFER_BYTES = 1 << 16;

/**
 * A pipe for a child's output. Node's own are sockets, which a process cannot open again as /dev/stdout. This process keeps both ends
 * until {@link OutputPipe.close}: that nobody writes any more is known from the end of the child, and not seen in the pipe.
 */
export interface OutputPipe {
  /** For `stdio` of one spawn. */
  readonly writeEnd: number;
  /** From now on the pipe keeps this process alive. */
  listen(onOutput: OutputListener): void;
  /**
   * After the child has ended: resolves when all that was written by then was handed on. Another process may have the pipe and write on;
   * it is not waited for.
   */
  drain(): Promise<void>;
  close(): void;
}

/** Takes output; the bytes are valid during the call. A promise stops the reading, and with it the writer, until it is settled. */
export type OutputListener = (data: Uint8Array) => void | Promise<void>;

/** Has the pipes of a process at hand when it is to start: they are made while another one runs. */
export class SparePipes implements Disposable {
  readonly #spares: OutputPipe[] = [];
  #isClosed = false;

  take(): OutputPipe {
    return this.#spares.shift() ?? openOutputPipe();
  }

  /** When nothing else is to be done at once. A thread that is ended would leave them open. */
  prepare(): void {
    if (!isMainThread()) return;
    setImmediate(() => {
      try {
        while (!this.#isClosed && this.#spares.length < PIPES_OF_A_PROCESS)
          this.#spares.push(openOutputPipe());
      } catch {
        // Where none can be made any more, the process that needs one says so.
      }
    });
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const pipe of this.#spares.splice(0)) pipe.close();
  }
}

const PIPES_OF_A_PROCESS = 2;

export function openOutputPipe(): OutputPipe {
  const [readEnd, writeEnd] = openPipe();
  // One buffer for all of it: a gigabyte of output leaves no garbage.
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let onOutput: OutputListener = () => undefined;
  let waiting: Promise<void> | undefined;
  let isDrained = false;
  const goOn = () => {
    waiting = undefined;
    if (!isDrained) stream.resume();
  };
  const handOn = (size: number) => {
    const until = onOutput(buffer.subarray(0, size));
    waiting = until ? until.then(goOn, goOn) : undefined;
    return !until;
  };
  const options: SocketConstructorOpts & { onread: object } = {
    fd: readEnd,
    readable: true,
    writable: false,
    onread: { buffer, callback: handOn },
  };
  const stream = new Socket(options);
  stream.unref();
  stream.resume();
  return {
    writeEnd,
    listen: (listener) => {
      onOutput = listener;
      stream.ref();
    },
    drain: async () => {
      isDrained = true;
      stream.pause();
      await waiting;
      // Once, since who goes on writing would be read for ever, and nothing else would happen meanwhile.
      for (let left = bytesIn(readEnd); left > 0;) {
        const size = readSync(readEnd, buffer, 0, Math.min(left, buffer.length), null);
        left -= size;
        handOn(size);
        await waiting;
      }
    },
    close: () => {
      closeSync(writeEnd);
      stream.destroy();
    },
  };
}

/** A pipe for what one child is to read, once. */
export interface InputPipe {
  /** For one spawn. */
  readonly readEnd: number;
  /** After the spawn: what the child is given is lost with it. */
  closeReadEnd(): void;
  /** False where not all of it could be written: that would have to wait for the child, or nobody is to read it any more. */
  write(text: string): boolean;
  /** The child has read all of it then. May be called again. */
  close(): void;
}

export function openInputPipe(): InputPipe {
  const open = new Set(openPipe());
  const [readEnd, writeEnd] = [...open] as [number, number];
  const close = (...ends: readonly number[]) => {
    for (const end of ends) if (open.delete(end)) closeSync(end);
  };
  return {
    readEnd,
    closeReadEnd: () => close(readEnd),
    write: (text) => {
      const bytes = Buffer.from(text);
      try {
        control(writeEnd, FIONBIO, Int32Array.of(1));
        return writeSync(writeEnd, bytes) === bytes.length;
      } catch (error) {
        if (isErrno(error, 'EAGAIN', 'EPIPE')) return false;
        throw error;
      }
    },
    close: () => close(readEnd, writeEnd),
  };
}

function openPipe(): [readEnd: number, writeEnd: number] {
  const descriptors = new Int32Array(2);
  const closeOnExec = 0o2000000;
  callLibc('int pipe2(void *descriptors, int flags)', [descriptors, closeOnExec]);
  return [descriptors[0]!, descriptors[1]!];
}

const FIONREAD = 0x541b;
const FIONBIO = 0x5421;

function bytesIn(readEnd: number): number {
  const size = new Int32Array(1);
  control(readEnd, FIONREAD, size);
  return size[0]!;
}

function control(fd: number, request: number, argument: Int32Array): void {
  callLibc('int ioctl(int fd, ulong request, void *argument)', [fd, request, argument]);
}
