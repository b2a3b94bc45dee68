import { spawn } from 'node:child_process';
import { BuildError, isOpenFilesLimit } from '../../errors.js';
import { openOutputPipe, type OutputPipe, type SparePipes } from '../sys/pipe.js';
import { exitCodeOf, type SpawnedProgram, spawnProgram, withOpened } from '../sys/spawn.js';
import type { ProcessIo, ProcessOutput } from './executor.js';

/** What a runtime needs of this process's environment; the rest, which may hold secrets, is kept from it. */
const PASSED_ON = ['PATH', 'HOME', 'XDG_RUNTIME_DIR'];

/**
 * A child whose output goes where the {@link ProcessIo} says. Its exit code is there when it has ended and its pipes are read empty;
 * a process that outlives the child is not waited for.
 */
export type RunningProcess = Pick<SpawnedProgram, 'exitCode' | 'kill'>;

/**
 * @param nothing path of what the child has as standard input where `io` gives none
 * @param env the child's whole environment; default: the little that a runtime needs
 */
export function startProcess(
  program: string,
  args: readonly string[],
  io: ProcessIo,
  nothing: string,
  env: NodeJS.ProcessEnv = runtimeEnvironment(),
): RunningProcess {
  if ('inherit' in io) {
    // Ctrl-C of the terminal must not end a runtime before it has ended the process; but only the terminal's own group reads from it.
    const detached = !io.terminal && !(io.input && process.stdin.isTTY);
    const start = (input: 'inherit' | number) =>
      spawn(program, args, { stdio: [input, 'inherit', 'inherit'], env, detached });
    const child = io.input ? start('inherit') : withOpened(nothing, start);
    return { exitCode: exitCodeOf(child), kill: () => void child.kill('SIGKILL') };
  }
  return startUnheard(program, args, { nothing, env, spares: io.spares }).listen(io.onOutput);
}

const OUTPUTS = 2;

/** A child that is to be silent until somebody listens. */
export interface UnheardProcess {
  listen(onOutput: ProcessOutput): RunningProcess;
  /** Ends it where nobody is to listen. It is gone then. */
  end(): void;
}

/** @param options.descriptors that it has as 3 and so on */
export function startUnheard(
  program: string,
  args: readonly string[],
  options: {
    nothing: string;
    env?: NodeJS.ProcessEnv;
    spares: SparePipes | undefined;
    descriptors?: readonly number[];
  },
): UnheardProcess {
  const { nothing, env = runtimeEnvironment(), spares, descriptors = [] } = options;
  const pipes: OutputPipe[] = [];
  const close = () => {
    for (const pipe of pipes) pipe.close();
  };
  try {
    while (pipes.length < OUTPUTS) pipes.push(spares?.take() ?? openOutputPipe());
    const all = [...pipes.map((pipe) => pipe.writeEnd), ...descriptors];
    // Ctrl-C of the terminal ends tsbuild, which ends the process; it must not reach both.
    const child = spawnProgram(program, args, { env, input: nothing, descriptors: all });
    // Who listens hears of it.
    child.exitCode.catch(() => undefined);
    spares?.prepare();
    return {
      listen: (onOutput) => {
        for (const [i, pipe] of pipes.entries()) pipe.listen((data) => onOutput(i === 0 ? 1 : 2, data));
        return { exitCode: drained(child.exitCode, pipes), kill: child.kill };
      },
      end: () => {
        child.killAndWait();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** What was thrown where that program was to run; limits of this process stay what they are. */
export function startError(name: string, error: unknown): unknown {
  if (error instanceof BuildError || isOpenFilesLimit(error)) return error;
  return new BuildError('EXECUTOR_FAILED', `${name} cannot be started: ${(error as Error).message}`, {
    cause: error,
  });
}

function runtimeEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => (name in process.env ? [[name, process.env[name]]] : [])),
  );
}

async function drained(exitCode: Promise<number>, pipes: readonly OutputPipe[]): Promise<number> {
  try {
    const code = await exitCode;
    for (const pipe of pipes) await pipe.drain();
    return code;
  } finally {
    // Beside the process that may follow.
    setImmediate(() => {
      for (const pipe of pipes) pipe.close();
    });
  }
}
