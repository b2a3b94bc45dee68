import { BuildError } from '../../errors.js';
import { findProgram } from '../sys/programs.js';
import { CompiledFilters } from './compiled-filters.js';
import { createEmbeddedSandbox } from './embedded-sandbox.js';
import type { Executor } from './executor.js';
import { createOciRuntime } from './oci-runtime.js';

/** The program behind an executor, as `tsbuild doctor` shows it. */
export interface ExecutorChoice {
  readonly name: Executor['name'];
  /** Absolute path. */
  readonly program: string;
}

/**
 * crun, else runc, else the embedded sandbox. `TSBUILD_EXECUTOR` names one of `crun`, `runc` and `sandbox` instead, and
 * `TSBUILD_CRUN` is the path of crun.
 * @throws USAGE for another name, EXECUTOR_FAILED where the program is missing
 */
export function chooseExecutor(env: NodeJS.ProcessEnv = process.env): ExecutorChoice {
  const wanted = env['TSBUILD_EXECUTOR'];
  const candidates: ExecutorChoice['name'][] = wanted ? [executorName(wanted)] : ['crun', 'runc', 'sandbox'];
  for (const name of candidates) {
    const program = programOf(name, env);
    if (program !== undefined) return { name, program };
  }
  throw new BuildError(
    'EXECUTOR_FAILED',
    `no program to run build steps with: looked for ${candidates.map(programName).join(', ')}`,
    {
      hint: 'install the package crun',
    },
  );
}

/** A function that chooses on its first call. @param filters directory of compiled filters */
export function createExecutorSelector(filters: string): () => Executor {
  let executor: Executor | undefined;
  return () => (executor ??= createExecutor(chooseExecutor(), filters));
}

export function createExecutor({ name, program }: ExecutorChoice, filters: string): Executor {
  if (name === 'sandbox') return createEmbeddedSandbox(program);
  const compiled = name === 'crun' ? new CompiledFilters({ directory: filters, crun: program }) : undefined;
  return createOciRuntime(name, program, compiled);
}

function executorName(text: string): ExecutorChoice['name'] {
  if (text === 'crun' || text === 'runc' || text === 'sandbox') return text;
  throw new BuildError('USAGE', `TSBUILD_EXECUTOR is "${text}"; expected crun, runc or sandbox`);
}

function programOf(name: ExecutorChoice['name'], env: NodeJS.ProcessEnv): string | undefined {
  if (name === 'crun' && env['TSBUILD_CRUN']) return env['TSBUILD_CRUN'];
  return findProgram(programName(name), env['PATH']);
}

function programName(name: ExecutorChoice['name']): string {
  return name === 'sandbox' ? 'unshare' : name;
}
