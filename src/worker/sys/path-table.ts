import { FIELDS, isSameRow, type RowReader } from './file-rows.js';

/** One look at many paths: `directory/`, its names, the next `directory/`, joined by NUL; a row of `FIELDS` for each name. */
export interface PathTable {
  readonly names: string;
  readonly rows: Float64Array;
}

/** Compares the row of what is there now, at 0, with the table's at `at`; it may take out of the former what does not count. */
export type RowCompare = (now: Float64Array, rows: Float64Array, at: number) => boolean;

/**
 * Whether all is as the table says. @throws errors other than absence
 * @param base goes before each directory
 * @param compare where not all of a row counts
 */
export function isAsBefore(
  { names, rows }: PathTable,
  reader: RowReader,
  base = '',
  compare?: RowCompare,
): boolean {
  if (names === '') return rows.length === 0;
  const now = new Float64Array(FIELDS);
  let at = 0;
  for (const name of names.split('\0')) {
    if (name.endsWith('/')) {
      reader.enter(base + name);
      continue;
    }
    reader.read(now, 0, name);
    if (!(compare ? compare(now, rows, at) : isSameRow(now, 0, rows, at))) return false;
    at += FIELDS;
  }
  return at === rows.length;
}
