import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { callLibc, errnoError } from './libc.js';

/** A program that was started in a session of its own. */
export interface SpawnedProgram {
  /** The exit code, or 128 + signal. Rejects where it could not be started. */
  readonly exitCode: Promise<number>;
  kill(): void;
  /** For a process that must end now. */
  killAndWait(): void;
}

export interface SpawnOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Descriptors that the program has as 1, 2 and so on. */
  readonly descriptors: readonly number[];
  /** Path of the file that it has as 0; default: /dev/null. */
  readonly input?: string;
}

const NOTHING = '/dev/null';

/** Gives `use` the file opened for reading, and closes it afterwards. */
export function withOpened<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, 'r');
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Starts a program without a copy of this process: Node's own way forks, for which the kernel copies the page tables of all
 * memory, and each page that either of the two then writes to (1 to 2 ms). @param program absolute path
 */
export function spawnProgram(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): SpawnedProgram {
  // Only the main thread hears of signals.
  if (!isMainThread()) return spawnByFork(program, args, options);
  let pid: number;
  watchChildren();
  try {
    pid = posixSpawn(program, args, options);
  } catch (error) {
    return { exitCode: Promise.reject(error as Error), kill: () => undefined, killAndWait: () => undefined };
  }
  const kill = () => {
    if (running.has(pid)) process.kill(pid, 'SIGKILL');
  };
  return {
    exitCode: new Promise((resolve, reject) => {
      running.set(pid, { resolve, reject });
      keepAlive ??= setInterval(reap, LOOK_AGAIN_MS);
    }),
    kill,
    killAndWait: () => {
      kill();
      if (running.delete(pid)) wait(pid, 0);
    },
  };
}

let inMainThread: boolean | undefined;

/** Asked of the kernel, once: Node's module for threads takes 2 ms to load. */
export function isMainThread(): boolean {
  if (inMainThread === undefined) {
    const [processId, , threadId] = readlinkSync('/proc/thread-self').split('/');
    inMainThread = processId === threadId;
  }
  return inMainThread;
}

function spawnByFork(
  program: string,
  args: readonly string[],
  { env, descriptors, input = NOTHING }: SpawnOptions,
): SpawnedProgram {
  const child = withOpened(input, (fd) =>
    spawn(program, args, { stdio: [fd, ...descriptors], env, detached: true }),
  );
  const kill = () => void child.kill('SIGKILL');
  return { exitCode: exitCodeOf(child), kill, killAndWait: kill };
}

/** As for {@link SpawnedProgram}. */
export function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}

interface Waiting {
  readonly resolve: (exitCode: number) => void;
  readonly reject: (error: unknown) => void;
}

const running = new Map<number, Waiting>();
/** Keeps the process alive as long as a child is; a signal that is lost costs no more than this. */
const LOOK_AGAIN_MS = 1000;
let keepAlive: NodeJS.Timeout | undefined;
let watched = false;

function watchChildren(): void {
  if (watched) return;
  process.on('SIGCHLD', reap);
  watched = true;
}

const WNOHANG = 1;

/** The exit code; undefined while the program runs. */
function wait(pid: number, options: number): number | undefined {
  const status = new Int32Array(1);
  const ended = callLibc('int waitpid(int pid, void *status, int options)', [pid, status, options]);
  return ended === 0 ? undefined : exitCodeOfStatus(status[0]!);
}

/** Asks for each child by its pid: others are waited for by Node. */
function reap(): void {
  for (const [pid, { resolve, reject }] of running) {
    try {
      const exitCode = wait(pid, WNOHANG);
      if (exitCode === undefined) continue;
      running.delete(pid);
      resolve(exitCode);
    } catch (error) {
      running.delete(pid);
      reject(error);
    }
  }
  if (running.size > 0) return;
  clearInterval(keepAlive);
  keepAlive = undefined;
}

function exitCodeOfStatus(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** More than the types of any libc take; only its own functions know what is in them. */
const OPAQUE_BYTES = 1024;
const SIGNALS_DEFAULT = 0x04;
const SIGNAL_MASK = 0x08;
const NEW_SESSION = 0x80;

/** Signals are handled and let through as in a new process: Node ignores some. */
function posixSpawn(
  program: string,
  args: readonly string[],
  { env, descriptors, input = NOTHING }: SpawnOptions,
): number {
  const [actions, attributes, noSignals] = Array.from({ length: 3 }, () => Buffer.alloc(OPAQUE_BYTES));
  // sigfillset leaves libc's own signals out, which the program would then have ignored.
  const allSignals = Buffer.alloc(OPAQUE_BYTES, 0xff);
  const pid = new Int32Array(1);
  const call = (prototype: string, ...values: readonly unknown[]) => {
    const errno = callLibc(prototype, values, program);
    if (errno !== 0) throw errnoError(errno, 'posix_spawn', program);
  };
  call('int posix_spawn_file_actions_init(void *actions)', actions);
  call('int posix_spawnattr_init(void *attributes)', attributes);
  try {
    call('int posix_spawnattr_setsigdefault(void *attributes, const void *set)', attributes, allSignals);
    call('int posix_spawnattr_setsigmask(void *attributes, const void *set)', attributes, noSignals);
    const flags = SIGNALS_DEFAULT | SIGNAL_MASK | NEW_SESSION;
    call('int posix_spawnattr_setflags(void *attributes, short flags)', attributes, flags);
    const open =
      'int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)';
    const duplicate = 'int posix_spawn_file_actions_adddup2(void *actions, int from, int to)';
    call(open, actions, 0, input, 0, 0);
    for (const [i, descriptor] of descriptors.entries()) call(duplicate, actions, descriptor, i + 1);
    call(
      'int posix_spawn(void *pid, const char *program, const void *actions, const void *attributes, const char **args, const char **env)',
      pid,
      program,
      actions,
      attributes,
      [program, ...args, null],
      [...environment(env), null],
    );
  } finally {
    call('int posix_spawn_file_actions_destroy(void *actions)', actions);
    call('int posix_spawnattr_destroy(void *attributes)', attributes);
  }
  return pid[0]!;
}

function environment(env: NodeJS.ProcessEnv): string[] {
  return Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}
