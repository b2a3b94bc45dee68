import { closeSync, fchmodSync, fchownSync, readSync } from 'node:fs';
import { Socket, type SocketConstructorOpts } from 'node:net';
import { callLibc } from './libc.js';

const BUFFER_BYTES = 1 << 16;

/** Pipes that nobody took for so long are closed. */
const SPARE_MS = 1000;

/**
 * A pipe for a child's output. Node's own are sockets, which a process cannot open again as /dev/stdout. This process keeps both ends,
 * so that another child can have the pipe when one has ended: its end is not seen in the pipe.
 */
export interface OutputPipe {
  /** For `stdio` of one spawn. */
  readonly writeEnd: number;
  /** After all writers have ended: resolves when their output was handed on. */
  drain(): Promise<void>;
  /** Ends the use. @param isFree no process can write to it any more, and it was read empty; without that it is closed */
  release(isFree: boolean): void;
}

/** Takes output; the bytes are valid during the call. A promise stops the reading, and with it the writer, until it is settled. */
export type OutputListener = (data: Uint8Array) => void | Promise<void>;

export function openOutputPipe(onOutput: OutputListener): OutputPipe {
  const pipe = spares.shift() ?? createPipe();
  pipe.use(onOutput);
  return {
    writeEnd: pipe.writeEnd,
    drain: pipe.drain,
    release: (isFree) => (isFree ? keep(pipe) : pipe.close()),
  };
}

interface Pipe extends Pick<OutputPipe, 'writeEnd' | 'drain'> {
  use(listener: OutputListener): void;
  /** Lets the process end meanwhile. */
  rest(): void;
  close(): void;
}

/** Of a step of a build that follows another one, the pipes would be an eighth of what it takes beside its process. */
const spares: Pipe[] = [];
let closing: NodeJS.Timeout | undefined;

function keep(pipe: Pipe): void {
  pipe.rest();
  spares.push(pipe);
  closing ??= setTimeout(() => {
    for (const spare of spares.splice(0)) spare.close();
    closing = undefined;
  }, SPARE_MS).unref();
  closing.refresh();
}

function createPipe(): Pipe {
  const descriptors = new Int32Array(2);
  const closeOnExec = 0o2000000;
  callLibc('int pipe2(void *descriptors, int flags)', [descriptors, closeOnExec]);
  const [readEnd, writeEnd] = descriptors as unknown as [number, number];
  // One buffer for all of it: a gigabyte of output leaves no garbage.
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let onOutput: OutputListener | undefined;
  let waiting: Promise<void> | undefined;
  const handOn = (size: number) => {
    const until = onOutput?.(buffer.subarray(0, size));
    waiting = until?.then(goOn, goOn);
    return waiting === undefined;
  };
  const goOn = () => {
    waiting = undefined;
    stream.resume();
  };
  const options: SocketConstructorOpts & { onread: object } = {
    fd: readEnd,
    readable: true,
    writable: false,
    onread: { buffer, callback: handOn },
  };
  const stream = new Socket(options);
  stream.resume();
  return {
    writeEnd,
    use: (listener) => {
      onOutput = listener;
      makeLikeNew(writeEnd);
      stream.ref();
    },
    drain: async () => {
      for (;;) {
        await waiting;
        if (waiting !== undefined) continue;
        if (bytesIn(readEnd) === 0) return;
        handOn(readSync(readEnd, buffer));
      }
    },
    rest: () => {
      onOutput = undefined;
      stream.unref();
    },
    close: () => {
      closeSync(writeEnd);
      stream.destroy();
    },
  };
}

const F_SETFL = 4;

/** A program may have set its standard output not to block, and a runtime gives it to the program's user. */
function makeLikeNew(writeEnd: number): void {
  callLibc('int fcntl(int fd, int command, int flags)', [writeEnd, F_SETFL, 0]);
  fchownSync(writeEnd, process.geteuid!(), process.getegid!());
  fchmodSync(writeEnd, 0o600);
}

const FIONREAD = 0x541b;

function bytesIn(readEnd: number): number {
  const size = new Int32Array(1);
  callLibc('int ioctl(int fd, ulong request, void *argument)', [readEnd, FIONREAD, size]);
  return size[0]!;
}
