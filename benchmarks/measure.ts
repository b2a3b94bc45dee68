import { spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from './builders.js';

export interface Run {
  readonly elapsedMs: number;
  /** The most memory that the process itself held; of a shell, that of the program it became. */
  readonly peakBytes: number;
}

const POLL_MS = 20;

const interruption = new AbortController();
// Builds that run at once listen to it, each for itself.
setMaxListeners(0, interruption.signal);

/** From then on Ctrl-C ends what is measured, and with it the run, which then ends what it started. */
export function endOnCtrlC(): void {
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => {
      process.exitCode = 130;
      interruption.abort(new Error(`${name}: the run is ended`));
    });
}

/** Runs one whole process, which must succeed; its output goes nowhere. */
export function measureRun({ args, env }: Command): Promise<Run> {
  return new Promise((resolve, reject) => {
    const errors: Buffer[] = [];
    let peakBytes = 0;
    const started = performance.now();
    const child = spawn(args[0]!, args.slice(1), {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
      signal: interruption.signal,
    });
    // The kernel keeps the mark, so only what grows in the last moment is missed.
    const poll = setInterval(() => (peakBytes = Math.max(peakBytes, highWaterMark(child.pid!))), POLL_MS);
    // The end of what is printed tells what went wrong.
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk) > 100 && errors.shift());
    child.on('error', (error) => {
      clearInterval(poll);
      reject(error);
    });
    child.on('close', (status) => {
      const elapsedMs = performance.now() - started;
      clearInterval(poll);
      if (status === 0) resolve({ elapsedMs, peakBytes });
      else reject(new Error(`${args.join(' ')} ended with ${status}: ${Buffer.concat(errors).toString()}`));
    });
  });
}

function highWaterMark(pid: number): number {
  try {
    return 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Waits until the times of all files prove that nothing changed them since. */
export const settle = () => sleep(2_500);
