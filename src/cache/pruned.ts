import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, digestHex } from '../oci/digest.js';

/** How long it is remembered that something was pruned. */
const DAYS_KEPT = 30;
/** A day's file is not continued beyond this; about 50 000 keys. */
const MOST_BYTES = 4 << 20;

/**
 * Remembers that the records under `keys` were pruned: one line each, `<key in hex> <milliseconds since the epoch>`, in
 * `<directory>/<day>`. Files older than 30 days go.
 */
export function rememberPruned(directory: string, keys: readonly Digest[], atMs: number): void {
  if (keys.length === 0) return;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const oldest = dayOf(atMs - DAYS_KEPT * 86_400_000);
  for (const day of days(directory)) if (day < oldest) rmSync(join(directory, day), { force: true });
  const path = join(directory, dayOf(atMs));
  const known = readText(path).length;
  const lines = keys.map((key) => `${digestHex(key)} ${atMs}\n`).join('');
  appendFileSync(path, lines.slice(0, Math.max(0, MOST_BYTES - known)), { mode: 0o600 });
}

/** When the record under `key` was last pruned, milliseconds since the epoch; for explaining a miss. */
export function prunedAtMs(directory: string, key: Digest): number | undefined {
  const hex = digestHex(key);
  for (const day of days(directory).reverse()) {
    const text = readText(join(directory, day));
    const at = text.lastIndexOf(`${hex} `);
    if (at >= 0) return Number.parseInt(text.slice(at + hex.length + 1), 10);
  }
  return undefined;
}

function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}

function days(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /^\d{4}-\d\d-\d\d$/.test(name))
      .sort();
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
