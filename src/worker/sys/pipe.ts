import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { callLibc } from './libc.js';

/**
 * A pipe for a child's output. Node's own are sockets, which a process cannot open again as /dev/stdout. The write end is for
 * `stdio` of one spawn and is closed with {@link OutputPipe.closeWriteEnd} after it.
 */
export interface OutputPipe {
  readonly writeEnd: number;
  readonly stream: Socket;
  closeWriteEnd(): void;
}

export function openOutputPipe(): OutputPipe {
  const descriptors = new Int32Array(2);
  const closeOnExec = 0o2000000;
  callLibc('int pipe2(void *descriptors, int flags)', [descriptors, closeOnExec]);
  const [readEnd, writeEnd] = descriptors as unknown as [number, number];
  return {
    writeEnd,
    stream: new Socket({ fd: readEnd, readable: true, writable: false }),
    closeWriteEnd: () => closeSync(writeEnd),
  };
}
