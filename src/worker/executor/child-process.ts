import { constants } from 'node:os';
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ProcessIo } from './executor.js';

/** After the child ended, output that does not come for so long is nobody's any more. */
const IDLE_MS = 200;

/** Hands on output as it comes. */
export function forwardOutput(child: ChildProcess, io: ProcessIo): void {
  if (!('onOutput' in io)) return;
  child.stdout?.on('data', (data: Buffer) => io.onOutput(1, data));
  child.stderr?.on('data', (data: Buffer) => io.onOutput(2, data));
}

/**
 * Resolves with the exit code, or 128 + signal, when the child has ended and its pipes are read empty. A process that outlives
 * the child and holds a pipe open is not waited for.
 */
export async function waitForExit(child: ChildProcess): Promise<number> {
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  });
  await Promise.all([drain(child.stdout), drain(child.stderr)]);
  return exitCode;
}

function drain(stream: Readable | null): Promise<void> {
  if (stream === null || stream.readableEnded || stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => stream.destroy(), IDLE_MS);
    stream.on('data', () => timer.refresh());
    stream.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal];
}
