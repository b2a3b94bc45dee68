import { visibleLine } from './visible.js';

/** Columns padded to their widest cell, three blanks apart, as Docker prints tables. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map(visibleLine));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]! + 3)))
        .join('')
        .trimEnd(),
    )
    .join('\n');
}

const UNITS: readonly (readonly [seconds: number, name: string])[] = [
  [365 * 86_400, 'year'],
  [30 * 86_400, 'month'],
  [7 * 86_400, 'week'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** `3 days ago`; `-` where there is no time. */
export function formatAge(time: string | undefined, nowMs = Date.now()): string {
  const at = time === undefined ? NaN : Date.parse(time);
  if (Number.isNaN(at)) return '-';
  const seconds = Math.max(0, Math.floor((nowMs - at) / 1000));
  const [size, name] = UNITS.find(([unit]) => seconds >= unit) ?? UNITS.at(-1)!;
  const count = Math.floor(seconds / size);
  return `${count} ${name}${count === 1 ? '' : 's'} ago`;
}
