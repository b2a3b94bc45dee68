import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { openOutputPipe } from '../sys/pipe.js';
import type { ProcessIo } from './executor.js';

/** After the child ended, output that does not come for so long is nobody's any more. */
const IDLE_MS = 200;

/** A child whose output goes where the {@link ProcessIo} says. */
export interface RunningProcess {
  /**
   * Resolves with the exit code, or 128 + signal, when the child has ended and its pipes are read empty. A process that
   * outlives the child and holds a pipe open is not waited for. Rejects when it cannot be started.
   */
  readonly exitCode: Promise<number>;
  kill(): void;
}

/** @param env the child's whole environment; default: this process's */
export function startProcess(
  program: string,
  args: readonly string[],
  io: ProcessIo,
  env: NodeJS.ProcessEnv = process.env,
): RunningProcess {
  if ('inherit' in io) {
    const child = spawn(program, args, { stdio: 'inherit', env });
    return { exitCode: exitOf(child), kill: () => child.kill('SIGKILL') };
  }
  const pipes = [openOutputPipe(), openOutputPipe()];
  const streams = pipes.map((pipe) => pipe.stream);
  streams.forEach((stream, i) => stream.on('data', (data: Buffer) => io.onOutput(i === 0 ? 1 : 2, data)));
  try {
    // Ctrl-C of the terminal ends tsbuild, which ends the process; it must not reach both.
    const stdio = ['ignore' as const, ...pipes.map((pipe) => pipe.writeEnd)];
    const child = spawn(program, args, { stdio, env, detached: true });
    return { exitCode: exitOf(child, streams), kill: () => child.kill('SIGKILL') };
  } finally {
    for (const pipe of pipes) pipe.closeWriteEnd();
  }
}

async function exitOf(child: ChildProcess, streams: readonly Readable[] = []): Promise<number> {
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
    });
    await Promise.all(streams.map(drain));
    return exitCode;
  } finally {
    for (const stream of streams) stream.destroy();
  }
}

function drain(stream: Readable): Promise<void> {
  if (stream.readableEnded || stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => stream.destroy(), IDLE_MS);
    stream.on('data', () => timer.refresh());
    stream.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
