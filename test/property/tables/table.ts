import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Results of a real builder: `results` are written once, `rows` name them by their place. */
export interface Table {
  readonly builder: string;
  readonly seed: number;
  readonly results: readonly string[];
  readonly rows: Readonly<Record<string, number>>;
}

export const tableFile = (name: string) => join(import.meta.dirname, `${name}.json`);

export function readTable(name: string): Map<string, string> {
  const { results, rows } = JSON.parse(readFileSync(tableFile(name), 'utf8')) as Table;
  return new Map(Object.entries(rows).map(([text, at]) => [text, results[at]!]));
}

export function makeTable(
  builder: string,
  seed: number,
  cases: readonly string[],
  given: readonly string[],
): Table {
  const results = [...new Set(given)];
  const places = new Map(results.map((result, i) => [result, i]));
  return {
    builder,
    seed,
    results,
    rows: Object.fromEntries(cases.map((text, i) => [text, places.get(given[i]!)!])),
  };
}
