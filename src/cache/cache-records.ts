import { linkSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SnapshotResult } from '../graph/contract.js';
import { createSnapshotResult } from '../graph/snapshot.js';
import { type Digest, digestHex } from '../oci/digest.js';
import { readChecked, writeChecked } from './checked-file.js';
import { markUsed } from './leases.js';

/** By the number of the input in BuildKit's operation; null for one that has none. */
export type ReadContents = readonly (Digest | null)[];

/** What a cache key stands for: the result, and what an explanation of a later miss needs to know about it. */
export interface CacheRecord {
  readonly result: SnapshotResult;
  /** Name of the vertex that made it, for people. */
  readonly name: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** All keys that stand for it, where a remote cache shall know them. */
  readonly keys?: readonly Digest[];
  /** BuildKit's digests of what it read of each input, where a remote cache knew them. */
  readonly contents?: ReadContents;
  /** The remote cache that it came from, in the build that imported it. */
  readonly importedFrom?: string;
  /** How long the step ran: what its loss would cost. */
  readonly runMs?: number;
}

/**
 * Records by cache key, one checksummed file each in `records/<aa>/<rest of the key>`: first line the sha256 of the rest,
 * then JSON. Written under a temporary name and renamed, so that a reader sees all or nothing; a record that does not
 * verify is a miss. Safe for any number of processes. A look-up is one open and read (about 20 µs warm).
 */
export class CacheRecords {
  readonly #root: string;
  #last: { readonly record: CacheRecord; readonly path: string } | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  /** The record under `key`, or undefined. Marks it as used, so that prune leaves it alone and knows its order. */
  load(key: Digest): CacheRecord | undefined {
    const path = this.#path(key);
    const body = readChecked(path);
    if (body === undefined || !markUsed(path)) return undefined;
    const { layers, ...stored } = JSON.parse(body) as Omit<CacheRecord, 'result'> & {
      layers: SnapshotResult['layers'];
    };
    return { ...stored, result: createSnapshotResult(layers) };
  }

  /**
   * Stores `record` under `key`, in place of an earlier one. What it names must be in the store already. The same record under one
   * key after the other is one file with several names.
   */
  save(key: Digest, record: CacheRecord): void {
    const path = this.#path(key);
    if (this.#last?.record === record && isLinked(this.#last.path, path)) return;
    const { result, importedFrom: _from, ...rest } = record;
    writeChecked(path, JSON.stringify({ ...rest, layers: result.layers }));
    this.#last = { record, path };
  }

  delete(key: Digest): void {
    rmSync(this.#path(key), { force: true });
  }

  #path(key: Digest): string {
    const hex = digestHex(key);
    return join(this.#root, hex.slice(0, 2), hex.slice(2));
  }
}

/** False where there is a file, or the file system has no links. */
function isLinked(from: string, to: string): boolean {
  try {
    mkdirSync(dirname(to), { recursive: true });
    linkSync(from, to);
    return true;
  } catch {
    return false;
  }
}
