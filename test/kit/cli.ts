import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const PROJECT = join(import.meta.dirname, '../..');
export const TSBUILD = join(PROJECT, 'bin/tsbuild');

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Buffer;
  /** Called with the child's pid once it runs. */
  readonly onStart?: (pid: number) => void;
}

/** Runs a program to its end and collects what it prints. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: 'pipe',
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', reject);
    child.on('spawn', () => options.onStart?.(child.pid!));
    child.on('close', (status) => {
      const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString('utf8');
      resolve({ status, stdout: text(out), stderr: text(err), elapsedMs: performance.now() - started });
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Runs a program that must succeed; gives its standard output. */
export async function mustRun(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await runCommand(program, args, options);
  if (result.status === 0) return result.stdout;
  throw new Error(
    `${program} ${args.join(' ')} ended with ${result.status}\n${result.stdout}\n${result.stderr}`,
  );
}

/** The installed command with a store of its own; `pids` are those of its processes so far. */
export function tsbuildIn(root: string, env: NodeJS.ProcessEnv = {}) {
  const pids: number[] = [];
  const options = (more: CommandOptions): CommandOptions => ({
    ...more,
    env: { TSBUILD_ROOT: root, NO_COLOR: '1', ...env, ...more.env },
    onStart: (pid) => {
      pids.push(pid);
      more.onStart?.(pid);
    },
  });
  return {
    pids: pids as readonly number[],
    run: (args: readonly string[], more: CommandOptions = {}) => runCommand(TSBUILD, args, options(more)),
    must: async (args: readonly string[], more: CommandOptions = {}) => {
      const result = await runCommand(TSBUILD, args, options(more));
      if (result.status !== 0)
        throw new Error(`tsbuild ${args.join(' ')} ended with ${result.status}\n${result.stderr}`);
      return result;
    },
  };
}
