import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError, throwIfAborted } from '../../errors.js';
import { PID_FILE } from '../snapshot/work-directory.js';
import type { Executor, ProcessExit, ProcessIo, ProcessSpec } from './executor.js';

/** Enough for git, npm and package managers to remove their lock files. */
const GRACE_MS = 3000;
const RETRY_MS = 20;

export interface Asking {
  /** Until what is left is killed. */
  readonly graceMs: number;
  /** Asks the process to end; false where a runtime that is still starting has none yet. */
  ask(): boolean;
  /** Whether this reason kills without asking. */
  killsAtOnce?(reason: unknown): boolean;
}

/** Runs a process that an abort asks to end before it is killed; an exit code of its own counts. */
export async function runAsking(
  executor: Executor,
  spec: ProcessSpec,
  io: ProcessIo,
  signal: AbortSignal,
  { graceMs, ask, killsAtOnce }: Asking,
): Promise<ProcessExit> {
  throwIfAborted(signal);
  const kill = new AbortController();
  const timers: NodeJS.Timeout[] = [];
  const onAbort = () => {
    if (killsAtOnce?.(signal.reason)) {
      kill.abort(signal.reason);
      return;
    }
    timers.push(setTimeout(() => kill.abort(signal.reason), graceMs));
    const retry = setInterval(() => ask() && clearInterval(retry), RETRY_MS);
    timers.push(retry);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await executor.run(spec, io, kill.signal);
  } finally {
    signal.removeEventListener('abort', onAbort);
    for (const timer of timers) clearTimeout(timer);
  }
}

/**
 * Runs a process so that an abort asks before it kills: every process of the run gets SIGTERM, and SIGKILL with all that is
 * left of it when three seconds later something still runs. Ctrl-C kills at once.
 */
export async function runGracefully(
  executor: Executor,
  spec: ProcessSpec,
  io: ProcessIo,
  signal: AbortSignal,
): Promise<ProcessExit> {
  try {
    return await runAsking(executor, spec, io, signal, {
      graceMs: GRACE_MS,
      ask: () => terminate(spec.directory),
      killsAtOnce: (reason) => reason instanceof BuildError && reason.code === 'INTERRUPTED',
    });
  } finally {
    throwIfAborted(signal);
  }
}

/**
 * Sends SIGTERM to everything in the run's pid namespace: process 1 alone would not do, since the kernel keeps from it what
 * it has no handler for, and a shell has none. False where there is no process yet.
 */
function terminate(directory: string): boolean {
  const namespace = pidNamespaceOf(readFirstPid(join(directory, PID_FILE)));
  if (namespace === undefined || namespace === pidNamespaceOf('self')) return false;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (pidNamespaceOf(pid) !== namespace) continue;
    try {
      process.kill(Number(pid), 'SIGTERM');
    } catch {
      // It ended by itself.
    }
  }
  return true;
}

function readFirstPid(file: string): string | undefined {
  try {
    return /^\d+/.exec(readFileSync(file, 'utf8'))?.[0];
  } catch {
    return undefined;
  }
}

function pidNamespaceOf(pid: string | undefined): string | undefined {
  try {
    return pid === undefined ? undefined : readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}
