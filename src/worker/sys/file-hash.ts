import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type Digest, digestFromHash } from '../../oci/digest.js';

/** Of all of a file's bytes, read synchronously. */
export function digestOfFile(path: string): Digest {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1 << 18);
  const fd = openSync(path, 'r');
  try {
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer))
      hash.update(buffer.subarray(0, read));
  } finally {
    closeSync(fd);
  }
  return digestFromHash(hash);
}

/** What the thread hashes of a file that it follows before it looks whether that goes on. */
const BYTES_PER_TURN = 16 << 20;

/** What the thread runs. It is text, so that it needs no file of its own beside the bundle, and no loader in tests. */
const PROGRAM = `'use strict';
const { createHash } = require('node:crypto');
const { closeSync, openSync, readSync } = require('node:fs');
const { parentPort } = require('node:worker_threads');

const buffer = Buffer.allocUnsafe(1 << 20);

function hashRange(hash, fd, from, to, stop) {
  for (let at = from; at < to;) {
    if (stop && Atomics.load(stop, 0) !== 0) return at;
    const read = readSync(fd, buffer, 0, Math.min(buffer.length, to - at), at);
    if (read === 0) return at;
    hash.update(buffer.subarray(0, read));
    at += read;
  }
  return to;
}

function hashFile({ fd, sizeBytes, stop }) {
  const hash = createHash('sha256');
  hashRange(hash, fd, 0, sizeBytes, stop && new Int32Array(stop));
  return hash.digest('hex');
}

function follow({ path, shared }) {
  const [state, sizes, digest] = [new Int32Array(shared, 0, 2), new BigInt64Array(shared, 8, 1), new Uint8Array(shared, 16, 32)];
  const fd = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    for (let at = 0;;) {
      const phase = Atomics.load(state, 0);
      const size = Number(Atomics.load(sizes, 0));
      at = hashRange(hash, fd, at, Math.min(size, at + ${BYTES_PER_TURN}));
      if (phase === 2) return;
      if (phase === 1 && at >= size) {
        digest.set(hash.digest());
        return;
      }
      if (at >= size) Atomics.wait(sizes, 0, BigInt(size), 5);
    }
  } finally {
    closeSync(fd);
  }
}

// Whoever has an answer finds the task counted.
const count = (task) => Atomics.add(new Int32Array(task.answered), 0, 1);

function answer(task) {
  try {
    return { hex: hashFile(task) };
  } catch (error) {
    const { message, code, errno, syscall } = error;
    return { message, facts: { code, errno, syscall } };
  }
}

function outcomeOf(task) {
  try {
    follow(task);
    return 1;
  } catch {
    return 2;
  }
}

parentPort.on('message', (task) => {
  if (!task.shared) {
    const answered = answer(task);
    count(task);
    parentPort.postMessage(answered);
    return;
  }
  const state = new Int32Array(task.shared, 0, 2);
  const outcome = outcomeOf(task);
  count(task);
  // What was abandoned has an outcome.
  Atomics.compareExchange(state, 1, 0, outcome);
  Atomics.notify(state, 1);
});
`;

/** Of an error only message and stack would pass from thread to thread. */
type Answer =
  { readonly hex: string } | { readonly message: string; readonly facts: Partial<NodeJS.ErrnoException> };

/** The hash of what is smaller takes less time than anyone notices. */
const LONG_BYTES = 16 << 20;

/** Hashes whole files on another core. It takes about 30 ms to start, as long as hashing 50 MiB. */
export class FileHashThread {
  readonly #thread = new Worker(PROGRAM, { eval: true, execArgv: [], env: {} });
  readonly #waiting: { resolve: (digest?: Digest) => void; reject: (error: Error) => void }[] = [];
  /** Tasks, counted by the thread itself: its answers come with a later turn of the event loop. */
  readonly #answered = new SharedArrayBuffer(4);
  #asked = 0;
  /** The only task that it has then. */
  #followed: FollowTask | undefined;
  #hasEnded = false;

  constructor() {
    this.#thread.on('message', (answer: Answer) => {
      const task = this.#waiting.shift()!;
      if (this.#waiting.length === 0) this.#thread.unref();
      if ('hex' in answer) task.resolve(`sha256:${answer.hex}`);
      else task.reject(Object.assign(new Error(answer.message), answer.facts));
    });
    this.#thread.on('error', () => undefined);
    this.#thread.on('exit', () => {
      this.#hasEnded = true;
      for (const task of this.#waiting.splice(0)) task.resolve(undefined);
      if (this.#followed)
        Atomics.compareExchange(new Int32Array(this.#followed.shared), OUTCOME, 0, IS_MISSING);
    });
    // The thread alone does not keep the process, and ends with it. To listen to it would make it do so again.
    this.#thread.unref();
  }

  /** Files that it has to hash, at this moment. Infinity where it takes no more: it has died, or follows a file. */
  get queued(): number {
    if (this.#hasEnded) return Infinity;
    const queued = this.#asked - Atomics.load(new Int32Array(this.#answered), 0);
    if (queued === 0) this.#followed = undefined;
    return this.#followed ? Infinity : queued;
  }

  /** Has it follow a file, for `FollowingHash`; false when it has anything else to do. */
  follow(task: FollowTask): boolean {
    if (this.queued !== 0) return false;
    this.#followed = task;
    this.#post(task);
    return true;
  }

  /** Ends it in the middle of whatever it does. */
  end(): void {
    this.#hasEnded = true;
    void this.#thread.terminate();
  }

  #post(task: object): void {
    this.#asked += 1;
    this.#thread.postMessage({ ...task, answered: this.#answered });
  }

  /**
   * Digest of the first `sizeBytes` of an open file, which stays open; undefined when the thread could not make it.
   * @throws errors of read, with their `code`; the signal's reason, when the thread reads the file no more
   */
  async digest(fd: number, sizeBytes: number, signal?: AbortSignal): Promise<Digest | undefined> {
    if (this.#hasEnded) return undefined;
    // A signal has few listeners at a time.
    const stop = signal && sizeBytes >= LONG_BYTES ? new SharedArrayBuffer(4) : undefined;
    const abort = () => stop && Atomics.store(new Int32Array(stop), 0, 1);
    if (stop) signal?.addEventListener('abort', abort, { once: true });
    this.#thread.ref();
    try {
      const digest = await new Promise<Digest | undefined>((resolve, reject) => {
        this.#waiting.push({ resolve, reject });
        this.#post({ fd, sizeBytes, stop });
      });
      signal?.throwIfAborted();
      return digest;
    } finally {
      if (stop) signal?.removeEventListener('abort', abort);
    }
  }
}

/** Those of the process, which are there once it had much to hash. */
const threads: FileHashThread[] = [];

/** One that has less than `mostQueued` files to hash; it is started where there are less than `mostThreads`. */
export function hashThread(mostQueued: number, mostThreads: number): FileHashThread | undefined {
  const free = threads.find(({ queued }) => queued < mostQueued);
  if (free || threads.length >= mostThreads) return free;
  const started = new FileHashThread();
  threads.push(started);
  return started;
}

/** Whether a `FollowingHash` would begin at once. */
export const hasIdleHashThread = () => threads.some(({ queued }) => queued === 0);

interface FollowTask {
  readonly path: string;
  readonly shared: SharedArrayBuffer;
}

const FOLLOWING = 0;
const ENDED = 1;
const ABANDONED = 2;
const PHASE = 0;
const OUTCOME = 1;
const IS_DONE = 1;
const IS_MISSING = 2;
/** A thread that makes no end for so long has died, or will never get to it. */
const PATIENCE_MS = 30_000;

/** Hashes a file while it is being written, as far as `advance` said, on another core: by a thread that is there and idle, or one more. */
export class FollowingHash {
  readonly #shared = new SharedArrayBuffer(48);
  readonly #state = new Int32Array(this.#shared, 0, 2);
  readonly #sizes = new BigInt64Array(this.#shared, 8, 1);
  /** Its own, where none of the process's was idle. */
  readonly #thread: FileHashThread | undefined;

  constructor(path: string, writtenBytes: number) {
    Atomics.store(this.#state, PHASE, FOLLOWING);
    this.advance(writtenBytes);
    const task: FollowTask = { path, shared: this.#shared };
    if (threads.some((thread) => thread.follow(task))) return;
    this.#thread = new FileHashThread();
    this.#thread.follow(task);
  }

  /** The first `writtenBytes` of the file will not change any more. */
  advance(writtenBytes: number): void {
    Atomics.store(this.#sizes, 0, BigInt(writtenBytes));
    Atomics.notify(this.#sizes, 0);
  }

  /** Waits for the digest of all that was written; undefined when the thread could not make it. */
  finish(): Digest | undefined {
    Atomics.store(this.#state, PHASE, ENDED);
    Atomics.notify(this.#sizes, 0);
    Atomics.wait(this.#state, OUTCOME, 0, PATIENCE_MS);
    const isDone = Atomics.load(this.#state, OUTCOME) === IS_DONE;
    const digest = Buffer.from(new Uint8Array(this.#shared, 16, 32)).toString('hex');
    this.abandon();
    return isDone ? `sha256:${digest}` : undefined;
  }

  abandon(): void {
    Atomics.store(this.#state, PHASE, ABANDONED);
    Atomics.store(this.#state, OUTCOME, IS_MISSING);
    Atomics.notify(this.#sizes, 0);
    this.#thread?.end();
  }
}
