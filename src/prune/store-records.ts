import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from '../cache/if-there.js';
import { checkedBody } from '../cache/checked-file.js';
import type { Layer } from '../graph/contract.js';
import { type Digest, digestHex } from '../oci/digest.js';

/** A cache record as it lies on disk. */
export interface StoredRecord {
  readonly path: string;
  readonly key: Digest;
  readonly name: string;
  readonly layers: readonly Layer[];
  /** How long the step ran. */
  readonly runMs: number;
  readonly lastUsedMs: number;
}

/** Every record that verifies; the others are no hit for anyone. */
export function listRecords(directory: string): StoredRecord[] {
  return namesIn(directory).flatMap((prefix) =>
    namesIn(join(directory, prefix)).flatMap((name) => {
      if (!/^[0-9a-f]{62}$/.test(name)) return [];
      const record = readRecord(join(directory, prefix, name), `sha256:${prefix}${name}`);
      return record ? [record] : [];
    }),
  );
}

export function recordPath(directory: string, key: Digest): string {
  const hex = digestHex(key);
  return join(directory, hex.slice(0, 2), hex.slice(2));
}

function readRecord(path: string, key: Digest): StoredRecord | undefined {
  try {
    const lastUsedMs = statSync(path).mtimeMs;
    const body = checkedBody(readFileSync(path, 'utf8'));
    if (body === undefined) return undefined;
    const { name, layers, runMs = 0 } = JSON.parse(body) as Omit<StoredRecord, 'runMs'> & { runMs?: number };
    return { path, key, name, layers, runMs, lastUsedMs };
  } catch {
    return undefined;
  }
}
