import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { openOutputPipe, type OutputPipe } from '../sys/pipe.js';
import type { ProcessIo } from './executor.js';

/** What a runtime needs of this process's environment; the rest, which may hold secrets, is kept from it. */
const PASSED_ON = ['PATH', 'HOME', 'XDG_RUNTIME_DIR'];

/** A child whose output goes where the {@link ProcessIo} says. */
export interface RunningProcess {
  /**
   * Resolves with the exit code, or 128 + signal, when the child has ended and its pipes are read empty. A process that
   * outlives the child and holds a pipe open is not waited for. Rejects when it cannot be started.
   */
  readonly exitCode: Promise<number>;
  kill(): void;
}

/** @param env the child's whole environment; default: the little that a runtime needs */
export function startProcess(
  program: string,
  args: readonly string[],
  io: ProcessIo,
  env: NodeJS.ProcessEnv = runtimeEnvironment(),
): RunningProcess {
  if ('inherit' in io) {
    // Ctrl-C of the terminal must not end a runtime before it has ended the process; but only the terminal's own group reads from it.
    const detached = !io.terminal && !(io.input && process.stdin.isTTY);
    const stdio = [
      io.input ? ('inherit' as const) : ('ignore' as const),
      'inherit' as const,
      'inherit' as const,
    ];
    const child = spawn(program, args, { stdio, env, detached });
    return { exitCode: exitOf(child), kill: () => child.kill('SIGKILL') };
  }
  const pipes = ([1, 2] as const).map((stream) => openOutputPipe((data) => io.onOutput(stream, data)));
  try {
    // Ctrl-C of the terminal ends tsbuild, which ends the process; it must not reach both.
    const stdio = ['ignore' as const, ...pipes.map((pipe) => pipe.writeEnd)];
    const child = spawn(program, args, { stdio, env, detached: true });
    return { exitCode: exitOf(child, pipes), kill: () => child.kill('SIGKILL') };
  } finally {
    for (const pipe of pipes) pipe.closeWriteEnd();
  }
}

function runtimeEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => (name in process.env ? [[name, process.env[name]]] : [])),
  );
}

async function exitOf(child: ChildProcess, pipes: readonly OutputPipe[] = []): Promise<number> {
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
    });
    await Promise.all(pipes.map((pipe) => pipe.drain()));
    return exitCode;
  } finally {
    for (const pipe of pipes) pipe.close();
  }
}
