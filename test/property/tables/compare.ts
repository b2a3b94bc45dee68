import type { Context } from 'mocha';
import { type Builder, needsNewBuilder, openBuilder } from './builder.js';
import { distinctCases, fuzzCount, fuzzSeed, Random } from './random.js';

/** Cases with what the builder made of them. */
export type Rows = Iterable<readonly [text: string, theirs: string]>;

export interface Comparison {
  readonly ours: (text: string) => string | Promise<string>;
  /** Default: the same text. */
  readonly isEqual?: (text: string, ours: string, theirs: string) => boolean;
  /** A line of the failure; default: both as they are. */
  readonly show?: (text: string, ours: string, theirs: string) => string;
}

/** A line for each case in which the two differ. */
export async function differences(rows: Rows, { ours, isEqual, show }: Comparison): Promise<string[]> {
  const differing: string[] = [];
  for (const [text, theirs] of rows) {
    const found = await ours(text);
    if (isEqual?.(text, found, theirs) ?? found === theirs) continue;
    differing.push(show?.(text, found, theirs) ?? `${text}: ${found} <> ${theirs}`);
  }
  return differing;
}

/** New cases with what a real builder makes of them, and the seed that gives them again. Skips without a new builder. */
export async function randomRows(
  context: Context,
  make: (random: Random) => string,
  ofBuilder: (builder: Builder, cases: string[]) => Promise<readonly string[]>,
): Promise<{ seed: number; rows: Rows }> {
  needsNewBuilder(context);
  const seed = fuzzSeed();
  const random = new Random(seed);
  const cases = distinctCases(fuzzCount(), () => make(random));
  const builder = await openBuilder();
  try {
    const theirs = await ofBuilder(builder, cases);
    return { seed, rows: cases.map((text, i) => [text, theirs[i]!] as const) };
  } finally {
    await builder.stop();
  }
}
