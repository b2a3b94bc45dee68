import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpDir } from '../kit/tmp-dir.js';
import type { FuzzJob, FuzzReport } from './worker.js';

export interface FuzzOptions {
  readonly target: string;
  readonly seconds: number;
  readonly seed: number;
}

/** Longer than any input may take, and than a pause of a busy machine. */
const HANG_MS = 60_000;
const HEAP_MB = 1024;

/** Fuzzes one target in a process of its own. A crash, a hang and a lack of memory are failures, with the input that made them. */
export async function runFuzz({ target, seconds, seed }: FuzzOptions): Promise<FuzzReport> {
  const file = join(tmpDir(), 'current');
  writeFileSync(file, Buffer.alloc(8));
  const job: FuzzJob = { target, seed, seconds, file };
  const worker = fork(join(import.meta.dirname, 'worker.ts'), [JSON.stringify(job)], {
    execArgv: ['--import', 'tsx', `--max-old-space-size=${HEAP_MB}`],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  const ended = once(worker, 'exit');
  let said = '';
  worker.stderr!.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString('utf8')}`.slice(-4000)));
  const current = () => {
    const data = readFileSync(file);
    return {
      runs: data.readUInt32LE(0),
      input: data.subarray(8, 8 + data.readUInt32LE(4)).toString('base64'),
    };
  };
  const failed = (error: string): FuzzReport => {
    const { runs, input } = current();
    return { runs, blocks: 0, corpus: 0, failure: { input, error } };
  };
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  try {
    return await new Promise<FuzzReport>((resolve) => {
      let [runs, sinceMs] = [-1, Date.now()];
      timer = setInterval(() => {
        const now = current().runs;
        if (now !== runs) [runs, sinceMs] = [now, Date.now()];
        else if (Date.now() - sinceMs > HANG_MS) resolve(failed(`no end after ${HANG_MS / 1000} s`));
      }, 1000);
      worker.once('message', (report) => resolve(report as FuzzReport));
      void ended.then(([status, signal]: unknown[]) => {
        if (!isOver) resolve(failed(`ended with ${String(status ?? signal)}: ${said}`));
      });
    });
  } finally {
    clearInterval(timer);
    isOver = true;
    worker.kill('SIGKILL');
    await ended;
  }
}
