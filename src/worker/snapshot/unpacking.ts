import { closeSync, existsSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BlobFollower } from '../../cache/content-store.js';
import type { Digest } from '../../oci/digest.js';
import { ownFile } from '../../oci/own-require.js';
import { UNPACK_PHASE, UNPACK_SHARED_BYTES, unpackState, type UnpackTask } from './unpack-task.js';

/** A thread takes as long to start as unpacking some megabytes. */
export const WORTH_A_THREAD_BYTES = 4 << 20;
const MOST_THREADS = Math.min(4, availableParallelism());

let threads = 0;
const waiting: (() => void)[] = [];
/** For those who wait. */
const idle: Worker[] = [];

/** The bundle of the threads; undefined where this code runs from its sources. */
function threadProgram(): string | undefined {
  const path = join(dirname(ownFile()), 'unpack-thread.cjs');
  return existsSync(path) ? path : undefined;
}

/** Unpacks one layer on another core, while its bytes arrive. */
export class Unpacking implements BlobFollower {
  readonly #task: Omit<UnpackTask, 'fd' | 'shared' | 'packedDigest'>;
  readonly #program: string;
  readonly #shared = new SharedArrayBuffer(UNPACK_SHARED_BYTES);
  readonly #state = unpackState(this.#shared);
  #fd: number | undefined;
  #done: Promise<boolean> = Promise.resolve(false);

  private constructor(program: string, task: Omit<UnpackTask, 'fd' | 'shared' | 'packedDigest'>) {
    this.#program = program;
    this.#task = task;
  }

  /** Undefined where there are no threads to be had. */
  static open(task: Omit<UnpackTask, 'fd' | 'shared' | 'packedDigest'>): Unpacking | undefined {
    const program = threadProgram();
    return program === undefined ? undefined : new Unpacking(program, task);
  }

  get isReading(): boolean {
    return this.#fd !== undefined;
  }

  opened(path: string): void {
    this.#read(path, undefined);
  }

  written(bytes: number): void {
    Atomics.add(this.#state.size, 0, BigInt(bytes));
  }

  /** Reads a blob that is there. */
  readWhole(path: string, sizeBytes: number, digest: Digest): void {
    this.#read(path, digest);
    this.written(sizeBytes);
  }

  /** All bytes are there. Gives whether the layer is unpacked and listed: false for whatever went wrong. */
  finish(): Promise<boolean> {
    Atomics.store(this.#state.phase, 0, UNPACK_PHASE.whole);
    return this.#done;
  }

  /** Ends it; nothing is written any more when the promise is settled. */
  async abandon(): Promise<void> {
    Atomics.store(this.#state.phase, 0, UNPACK_PHASE.abandoned);
    await this.#done;
  }

  #read(path: string, packedDigest: Digest | undefined): void {
    const fd = openSync(path, 'r');
    this.#fd = fd;
    const task: UnpackTask = { ...this.#task, fd, shared: this.#shared, packedDigest };
    this.#done = inThread(this.#program, task)
      .catch(() => false)
      .finally(() => closeSync(fd));
  }
}

async function inThread(program: string, task: UnpackTask): Promise<boolean> {
  if (threads >= MOST_THREADS) await new Promise<void>((resolve) => waiting.push(resolve));
  else threads += 1;
  try {
    const thread = idle.pop() ?? startThread(program);
    const { answer, isLiving } = await ask(thread, task);
    if (isLiving && waiting.length > 0) idle.push(thread);
    else void thread.terminate();
    return answer;
  } finally {
    const next = waiting.shift();
    if (next) next();
    else threads -= 1;
  }
}

function ask(thread: Worker, task: UnpackTask): Promise<{ answer: boolean; isLiving: boolean }> {
  return new Promise((resolve) => {
    const answered = (answer: boolean) => ended(answer, true);
    const died = () => ended(false, false);
    const ended = (answer: boolean, isLiving: boolean) => {
      thread.off('message', answered).off('exit', died);
      resolve({ answer, isLiving });
    };
    thread.on('message', answered).on('exit', died);
    thread.postMessage(task);
  });
}

/** What lives shortly is small, and what a thread has once taken it keeps. One that fails ends, and that tells. */
function startThread(program: string): Worker {
  return new Worker(program, { execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 2 } }).on(
    'error',
    () => undefined,
  );
}
