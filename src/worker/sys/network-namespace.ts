import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { callLibc } from './libc.js';
import { bindMount } from './mounts.js';
import { inUserNamespace } from './namespaces.js';
import { NetworkDevices } from './netlink.js';

const CLONE_NEWNET = 0x40000000;
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
      bindMount(THREAD_NAMESPACE, file, false);
      using devices = new NetworkDevices();
      devices.start('lo');
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
