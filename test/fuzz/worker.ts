import { openSync, writeSync } from 'node:fs';
import { BuildError } from '../../src/errors.js';
import { Coverage } from './coverage.js';
import { mutate, Random } from './random.js';
import { type FuzzTarget, TARGETS } from './targets.js';

/** What the process is given, as JSON in its argument. The input that it runs stands in a file, so that a hang leaves it behind. */
export interface FuzzJob {
  readonly target: string;
  readonly seed: number;
  readonly seconds: number;
  /** Gets the number of the run, the length of the input, the input. */
  readonly file: string;
}

export interface FuzzReport {
  readonly runs: number;
  readonly blocks: number;
  readonly corpus: number;
  readonly failure?: { readonly input: string; readonly error: string };
}

const BATCH = 64;
const LONGEST_SHRINK_MS = 20_000;
const LARGEST_CORPUS = 400;

const { target: name, seed, seconds, file } = JSON.parse(process.argv[2]!) as FuzzJob;
const current = openSync(file, 'r+');
let runs = 0;
const target = TARGETS[name]!;

/** What must not come out: anything but a BuildError that is meant. */
async function failureOf({ run }: FuzzTarget, data: Buffer): Promise<Error | undefined> {
  const head = Buffer.alloc(8);
  head.writeUInt32LE((runs += 1), 0);
  head.writeUInt32LE(data.length, 4);
  writeSync(current, Buffer.concat([head, data]), 0, undefined, 0);
  try {
    await run(data);
  } catch (error) {
    if (!(error instanceof BuildError) || error.code === 'INTERNAL') return error as Error;
  }
  return undefined;
}

/** The shortest input found that fails with the same message. */
async function shrink(data: Buffer, message: string): Promise<Buffer> {
  let shortest: Buffer = data;
  const until = Date.now() + LONGEST_SHRINK_MS;
  for (let size = Math.ceil(data.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < shortest.length && Date.now() < until;) {
      const shorter = Buffer.concat([shortest.subarray(0, at), shortest.subarray(at + size)]);
      if ((await failureOf(target, shorter))?.message === message) shortest = shorter;
      else at += size;
    }
  }
  return shortest;
}

async function fuzz(): Promise<FuzzReport> {
  const random = new Random(seed);
  const coverage = new Coverage();
  await coverage.start();
  const mend = target.mend ?? ((data: Buffer) => data);
  const corpus: Buffer[] = target.seeds.map((data) => Buffer.from(data));
  const until = Date.now() + seconds * 1000;
  const report = () => ({ runs, blocks: coverage.blocks, corpus: corpus.length });
  let batch: Buffer[] = [...corpus];
  while (Date.now() < until) {
    for (const data of batch) {
      const failure = await failureOf(target, data);
      if (!failure) continue;
      const input = await shrink(data, failure.message);
      return {
        ...report(),
        failure: { input: input.toString('base64'), error: failure.stack ?? failure.message },
      };
    }
    if ((await coverage.news()) > 0) {
      // Something in the batch is new: each alone, to keep what it was.
      for (const data of batch) {
        await failureOf(target, data);
        if ((await coverage.news()) === 0 && random.below(BATCH) > 0) continue;
        if (corpus.length < LARGEST_CORPUS) corpus.push(data);
        else corpus[target.seeds.length + random.below(LARGEST_CORPUS - target.seeds.length)] = data;
      }
    }
    batch = Array.from({ length: BATCH }, () => {
      const mutated = mutate(random.of(corpus), random.of(corpus), target.words, random);
      return random.below(8) === 0 ? mutated : mend(mutated);
    });
  }
  coverage.stop();
  return report();
}

process.send!(await fuzz());
process.disconnect();
