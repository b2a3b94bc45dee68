import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What was measured for one letter; names are builders and limits. */
export interface Row {
  readonly letter: string;
  readonly what: string;
  readonly unit: 'ms' | 'MB';
  readonly medians: Readonly<Record<string, number>>;
  readonly spreads: Readonly<Record<string, number>>;
  /** Of each round, in their order. */
  readonly values: Readonly<Record<string, readonly number[]>>;
}

/** How long something takes as it grows. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [size: number, ms: number])[];
}

export interface Report {
  readonly date: string;
  readonly machine: Readonly<Record<string, unknown>>;
  readonly scale: number;
  readonly rows: readonly Row[];
  readonly series: readonly Series[];
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

export function rowOf(
  head: Pick<Row, 'letter' | 'what' | 'unit'>,
  values: ReadonlyMap<string, readonly number[]>,
): Row {
  const entries = [...values].filter(([, list]) => list.length > 0);
  return {
    ...head,
    medians: Object.fromEntries(entries.map(([name, list]) => [name, Math.round(median(list))])),
    spreads: Object.fromEntries(
      entries.map(([name, list]) => [name, Math.round(Math.max(...list) - Math.min(...list))]),
    ),
    values: Object.fromEntries(entries.map(([name, list]) => [name, list.map((value) => Math.round(value))])),
  };
}

/** tsbuild's figure divided by that of each other. */
export function ratiosOf({ medians }: Row): Record<string, number> {
  const own = medians['tsbuild'];
  if (own === undefined) return {};
  const others = Object.entries(medians).filter(([name]) => name !== 'tsbuild');
  return Object.fromEntries(others.map(([name, value]) => [name, own / Math.max(value, 1)]));
}

export function formatRow(row: Row): string {
  const ratios = ratiosOf(row);
  const lines = Object.entries(row.medians).map(([name, value]) => {
    const ratio = ratios[name] === undefined ? '' : `  tsbuild/${name} = ${ratios[name].toFixed(2)}`;
    const spread = row.values[name]?.length === 1 ? 'once' : `spread ${row.spreads[name]}`;
    return `  ${name.padEnd(20)} ${String(value).padStart(7)} ${row.unit}  (${spread})${ratio}`;
  });
  return [`\n${row.letter}  ${row.what}`, ...lines].join('\n');
}

/** How the time grows between neighbors: 1 is linear, less is better. */
export function formatSeries({ name, points }: Series): string {
  const lines = points.map(([size, ms], i) => {
    const before = points[i - 1];
    const growth = before ? `  exponent ${exponent(before, [size, ms]).toFixed(2)}` : '';
    return `  ${String(size).padStart(9)} ${String(Math.round(ms)).padStart(7)} ms${growth}`;
  });
  return [`\nI  ${name}`, ...lines].join('\n');
}

const exponent = (from: readonly [number, number], to: readonly [number, number]) =>
  Math.log(to[1] / from[1]) / Math.log(to[0] / from[0]);

/** The newest report of the directory with that scale. */
export function previousReport(results: string, scale: number): Report | undefined {
  for (const name of readdirSync(results).sort().reverse()) {
    if (!name.endsWith('.json')) continue;
    const report = JSON.parse(readFileSync(join(results, name), 'utf8')) as Partial<Report>;
    if (report.scale === scale && report.rows) return report as Report;
  }
  return undefined;
}

/** A ratio this much above the one before is called slower: noise of the machine takes both sides of a ratio. */
const SLOWER = 1.15;

/** Lines on what changed since an earlier report: ratios, since the machine may have been busier; memory as it is. */
export function compareReports(before: Report, now: Report): string[] {
  return now.rows.flatMap((row) => {
    const old = before.rows.find(({ letter }) => letter === row.letter);
    if (!old) return [];
    if (row.unit === 'MB')
      return changeOf(row.letter, 'peak', old.medians['tsbuild'], row.medians['tsbuild']);
    const oldRatios = ratiosOf(old);
    return Object.entries(ratiosOf(row)).flatMap(([name, ratio]) =>
      changeOf(row.letter, `tsbuild/${name}`, oldRatios[name], ratio),
    );
  });
}

function changeOf(letter: string, what: string, old: number | undefined, now: number | undefined): string[] {
  if (old === undefined || now === undefined) return [];
  const mark = now > old * SLOWER ? '  SLOWER' : now * SLOWER < old ? '  faster' : '';
  return [`  ${letter.padEnd(4)} ${what}: ${old.toFixed(2)} -> ${now.toFixed(2)}${mark}`];
}
