import { closeSync, openSync, writeFileSync } from 'node:fs';
import { callLibc } from './libc.js';

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const THREAD_NAMESPACE = '/proc/thread-self/ns/net';

/**
 * Makes a network namespace with its loopback up, and keeps it at `file`, which is made, for as long as that mount is there or a process
 * is in it. The process must be in a mount namespace of its own; it stays in its own network namespace.
 */
export function createNetworkNamespace(file: string): void {
  writeFileSync(file, '');
  const own = openSync(THREAD_NAMESPACE, 'r');
  try {
    callLibc('int unshare(int flags)', [CLONE_NEWNET]);
    try {
      callLibc(
        'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
        [THREAD_NAMESPACE, file, null, MS_BIND, null],
        file,
      );
      raiseLoopback();
    } finally {
      callLibc('int setns(int fd, int type)', [own, CLONE_NEWNET]);
    }
  } finally {
    closeSync(own);
  }
}

/** Calls `action`, which must be synchronous, with this thread in the namespace; so are the processes that it starts. */
export function inNetworkNamespace<T>(file: string, action: () => T): T {
  const own = openSync(THREAD_NAMESPACE, 'r');
  const other = openSync(file, 'r');
  try {
    callLibc('int setns(int fd, int type)', [other, CLONE_NEWNET]);
    try {
      return action();
    } finally {
      callLibc('int setns(int fd, int type)', [own, CLONE_NEWNET]);
    }
  } finally {
    closeSync(other);
    closeSync(own);
  }
}

function raiseLoopback(): void {
  const [inet, datagram, setFlags, upAndRunning] = [2, 2, 0x8914, 0x41];
  const request = Buffer.alloc(40);
  request.write('lo');
  request.writeUInt16LE(upAndRunning, 16);
  const socket = callLibc('int socket(int domain, int type, int protocol)', [inet, datagram, 0]);
  try {
    callLibc('int ioctl(int fd, ulong request, const void *argument)', [socket, setFlags, request]);
  } finally {
    closeSync(socket);
  }
}
