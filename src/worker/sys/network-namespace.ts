import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { callLibc } from './libc.js';
import { inUserNamespace } from './namespaces.js';

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const THREAD_NAMESPACE = '/proc/thread-self/ns/net';

/**
 * Makes a network namespace, and keeps it at `file`, which is made, for as long as that mount is there or a process
 * is in it. The process must be in a mount namespace of its own; it stays in its own network namespace.
 * @throws Error where the kernel or a missing program forbids it
 */
export function createNetworkNamespace(file: string): void {
  writeFileSync(file, '');
  if (inUserNamespace()) createInChild(file);
  else createInThread(file);
}

/** A way back out of a new namespace needs rights over the old one, which a user namespace has not. */
function createInChild(file: string): void {
  const command = ['--net', 'mount', '--bind', '/proc/self/ns/net', file];
  const { status, stderr, error } = spawnSync('unshare', command, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`unshare: ${(error?.message ?? stderr).trim()}`);
}

/** With its loopback up. */
function createInThread(file: string): void {
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
