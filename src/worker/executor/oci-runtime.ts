import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { BuildError, throwIfAborted } from '../../errors.js';
import { groupsNamed, removeGroup } from '../cgroup/group.js';
import { mountTmpfs } from '../sys/mounts.js';
import { enterMountNamespace } from '../sys/namespaces.js';
import type { SparePipes } from '../sys/pipe.js';
import { isMainThread } from '../sys/spawn.js';
import { type Bundle, createBundle, type RuntimeProgram, WaitingRuntime, writeConfig } from './bundle.js';
import { type RunningProcess, startError, startProcess } from './child-process.js';
import type { CompiledFilters } from './compiled-filters.js';
import { endProcessesOf, isOfSignal } from './end-processes.js';
import type { Executor, ProcessExit, ProcessIo, ProcessSpec, RunDirectories } from './executor.js';
import { createOciConfig } from './oci-config.js';
import { protectProgram } from './protect-program.js';

const KILL_EVERY_MS = 100;
const DELETES_BEFORE_KILL = 5;

/** An executor on crun or runc. @param program absolute path @param filters of crun */
export function createOciRuntime(
  name: 'crun' | 'runc',
  program: string,
  filters?: CompiledFilters,
): Executor {
  const runtime = { name, program };
  const enter = () => {
    enterMountNamespace();
    if (name === 'crun') hideHybridCgroups();
    protectProgram(program);
  };
  return {
    name,
    async run(spec, io, signal) {
      throwIfAborted(signal);
      enter();
      return runBundle({ ...runtime, filters, spec, io, signal });
    },
    // A thread that is ended would leave it.
    ...(name === 'crun' && isMainThread()
      ? {
          prepare: (directories: RunDirectories, spares: SparePipes) => {
            enter();
            return new WaitingRuntime(runtime, directories, spares);
          },
        }
      : {}),
  };
}

interface RuntimeCall extends RuntimeProgram {
  readonly filters: CompiledFilters | undefined;
  readonly spec: ProcessSpec;
  readonly io: ProcessIo;
  readonly signal: AbortSignal;
}

async function runBundle(call: RuntimeCall): Promise<ProcessExit> {
  const { name, program, filters, spec, io, signal } = call;
  const { directory } = spec;
  const inherit = 'inherit' in io;
  const waiting = waitingRuntime(io);
  const bundle = waiting?.bundle ?? createBundle(call, spec);
  const { id, container, log } = bundle;
  const config = createOciConfig(spec, inherit && io.terminal, bundle.devices);
  const child = startRuntime(call, bundle, JSON.stringify(filters?.apply(config, container) ?? config));
  const stopKilling = killOnAbort(signal, child.kill, [program, ...bundle.remove]);
  let exitCode = 0;
  try {
    exitCode = await child.exitCode;
    throwIfAborted(signal);
    const errors = exitCode === 0 ? '' : readFileSync(log, 'utf8');
    if (errors.includes('seccomp')) filters?.forget(config);
    else filters?.keep(config, container);
    throwRuntimeError(errors, call);
    return { exitCode };
  } catch (error) {
    throw signal.aborted ? error : startError(name, error);
  } finally {
    await stopKilling();
    const isCutShort = signal.aborted || isOfSignal(exitCode);
    if (isCutShort) await endProcessesOf(directory);
    // It gives up on a group that the kernel keeps busy for some time.
    if (name === 'runc' && (isCutShort || statSync(log).size > 0))
      for (const group of groupsNamed(id)) if (basename(group) === id) await removeGroup(group);
  }
}

function waitingRuntime(io: ProcessIo): WaitingRuntime | undefined {
  return 'prepared' in io && io.prepared instanceof WaitingRuntime ? io.prepared : undefined;
}

/** The one that waits, where there is one that can go on. */
function startRuntime({ program, io }: RuntimeCall, bundle: Bundle, config: string): RunningProcess {
  const waiting = waitingRuntime(io)?.take(config);
  if (waiting && 'onOutput' in io) return waiting.listen(io.onOutput);
  writeConfig(bundle, config);
  return startProcess(program, bundle.run, io, bundle.devices.nothing);
}

/**
 * On abort, has the runtime kill and delete the container until the runtime's first process has ended; it may still have been
 * starting the container. The returned function ends that, with everything gone.
 */
function killOnAbort(
  signal: AbortSignal,
  killRuntime: () => void,
  deleteCommand: string[],
): () => Promise<void> {
  const [program, ...args] = deleteCommand as [string, ...string[]];
  let ended = false;
  let deleting: Promise<void> | undefined;
  const deleteOnce = () =>
    new Promise<void>((resolve) => {
      const child = spawn(program, args, { stdio: 'ignore', detached: true });
      child.once('error', () => resolve());
      child.once('exit', () => resolve());
    });
  const repeat = async () => {
    for (let i = 0; !ended; i++) {
      await deleteOnce();
      if (ended) break;
      if (i >= DELETES_BEFORE_KILL) killRuntime();
      await new Promise((resolve) => setTimeout(resolve, KILL_EVERY_MS));
    }
    await deleteOnce();
  };
  const start = () => {
    deleting = repeat();
  };
  signal.addEventListener('abort', start, { once: true });
  return async () => {
    ended = true;
    signal.removeEventListener('abort', start);
    await deleting;
  };
}

/** The runtime logs only its own failures; without one, the exit code is the process's. */
function throwRuntimeError(log: string, { name, spec }: RuntimeCall): void {
  const errors = log
    .split('\n')
    .filter(Boolean)
    .map(parseLogLine)
    .filter((line) => line.level === undefined || line.level === 'error');
  if (errors.length === 0) return;
  const message = errors.map((line) => line.msg).join('; ');
  if (
    /executable file.* not found|no such file or directory|exec format error|permission denied|not a directory/i.test(
      message,
    )
  ) {
    throw new BuildError('RUN_FAILED', `"${spec.args[0]}" cannot be started: ${message}`);
  }
  throw new BuildError('EXECUTOR_FAILED', `${name} failed: ${message}`, {
    hint: 'TSBUILD_EXECUTOR=sandbox runs without an OCI runtime',
  });
}

function parseLogLine(line: string): { level?: string; msg: string } {
  try {
    return JSON.parse(line) as { level?: string; msg: string };
  } catch {
    return { msg: line };
  }
}

let cgroupsHidden = false;

/** crun refuses a cgroup 2 hierarchy beside cgroup 1; in the mount namespace of this process it can be covered. */
function hideHybridCgroups(): void {
  if (cgroupsHidden) return;
  cgroupsHidden = true;
  const unified = '/sys/fs/cgroup/unified';
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  if (mounts.some((line) => line.split(' ')[4] === unified)) mountTmpfs(unified, 'size=4k,mode=0755');
}
