import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SnapshotResult } from '../../graph/contract.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { BuildError, throwIfAborted } from '../../errors.js';
import type { Descriptor } from '../../oci/descriptor.js';
import { type Digest, matchesDigest } from '../../oci/digest.js';
import type { CacheRecord, CacheRecords } from '../cache-records.js';
import type { BuildkitMatcher } from './buildkit-match.js';
import type { BuildkitGraph } from './buildkit-graph.js';
import type { Vertex } from '../../graph/definition.js';
import type { CacheBackend } from './cache-backend.js';
import { decodeCache, type ReadCache } from './cache-config.js';
import { type CacheContents, type CachedMount, type CachedStep, layersOfStep } from './cache-contents.js';
import { type RestoreOptions, restoreMount } from './mount-import.js';

const CONFIG_BYTES = 64 << 20;

/** Hears of each cache that is asked; `failed` ones count as empty. */
export interface ImportListener {
  started(backend: CacheBackend): void;
  /** `steps` is undefined where there is no cache yet. */
  done(backend: CacheBackend, steps: number | undefined): void;
  failed(backend: CacheBackend, error: unknown): void;
}

export interface ImportingRecordsOptions {
  readonly records: CacheRecords;
  readonly backends: readonly CacheBackend[];
  readonly isAvailable: (result: SnapshotResult) => boolean;
  readonly listener: ImportListener;
  readonly signal: AbortSignal;
}

interface Imported {
  readonly backend: CacheBackend;
  readonly foreign: ReadCache['foreign'];
  readonly mounts: readonly CachedMount[];
  readonly steps: ReadonlyMap<Digest, { readonly step: CachedStep; readonly contents: CacheContents }>;
}

/**
 * Cache records with remote caches behind them: what the store lacks is looked up in each cache in order, and stays in the
 * store once it was found. Nothing is asked before the first miss; then one document and one config of each cache. Layers
 * stay where they are until something reads them.
 */
export class ImportingRecords {
  readonly #options: ImportingRecordsOptions;
  #imported: Promise<readonly Imported[]> | undefined;
  readonly #matchers = new Map<Imported, { graph: BuildkitGraph; matchers: readonly BuildkitMatcher[] }>();

  constructor(options: ImportingRecordsOptions) {
    this.#options = options;
  }

  async load(key: Digest): Promise<CacheRecord | undefined> {
    const { records, isAvailable } = this.#options;
    const own = records.load(key);
    if (own && isAvailable(own.result)) return own;
    for (const { backend, steps } of await this.#caches()) {
      const found = steps.get(key);
      if (!found) continue;
      const { step, contents } = found;
      const result = createSnapshotResult(layersOfStep(contents, step, backend.origin));
      if (!isAvailable(result)) continue;
      const { name, createdAt, keys, contents: read } = step;
      const record: CacheRecord = {
        name,
        createdAt,
        keys,
        result,
        importedFrom: backend.place,
        ...(read ? { contents: read } : {}),
      };
      for (const each of step.keys) records.save(each, record);
      return record;
    }
    return undefined;
  }

  /** Whether some cache has records of BuildKit. */
  async hasForeign(): Promise<boolean> {
    return (await this.#caches()).some(({ foreign }) => foreign.length > 0);
  }

  /** The same by BuildKit's digests, where a cache has records of BuildKit. Saves nothing. */
  async findForeign(
    vertex: Vertex,
    graph: BuildkitGraph,
  ): Promise<{ result: SnapshotResult; importedFrom: string } | undefined> {
    for (const imported of await this.#caches()) {
      for (const matcher of await this.#matchersOf(imported, graph)) {
        const result = await matcher.find(vertex, imported.backend.origin);
        if (result && this.#options.isAvailable(result))
          return { result, importedFrom: imported.backend.place };
      }
    }
    return undefined;
  }

  /** Read once, when they are first asked for. */
  #caches() {
    return (this.#imported ??= this.#importAll());
  }

  async #matchersOf(imported: Imported, graph: BuildkitGraph): Promise<readonly BuildkitMatcher[]> {
    if (imported.foreign.length === 0) return [];
    const known = this.#matchers.get(imported);
    if (known?.graph === graph) return known.matchers;
    const { BuildkitMatcher: Matcher } = await import('./buildkit-match.js');
    const matchers = imported.foreign.map((cache) => new Matcher(cache, graph));
    this.#matchers.set(imported, { graph, matchers });
    return matchers;
  }

  /**
   * Fills the empty directory of a cache mount from the first cache that has one of that name; says from which. A cache that
   * fails at it leaves the directory empty.
   */
  async restoreMount(
    name: string,
    directory: string,
    setTimesNs: RestoreOptions['setTimesNs'],
  ): Promise<string | undefined> {
    const { listener, signal } = this.#options;
    for (const { backend, mounts } of await this.#caches()) {
      const mount = mounts.find((each) => each.name === name);
      if (!mount) continue;
      try {
        await restoreMount(mount, backend, { directory, setTimesNs, signal });
        return backend.place;
      } catch (error) {
        for (const entry of readdirSync(directory))
          rmSync(join(directory, entry), { recursive: true, force: true });
        throwIfAborted(signal);
        listener.failed(backend, error);
      }
    }
    return undefined;
  }

  save(key: Digest, record: CacheRecord): void {
    this.#options.records.save(key, record);
  }

  async #importAll(): Promise<readonly Imported[]> {
    const imported = await Promise.all(this.#options.backends.map((backend) => this.#import(backend)));
    return imported.flatMap((each) => each ?? []);
  }

  async #import(backend: CacheBackend): Promise<Imported | undefined> {
    const { listener, signal } = this.#options;
    listener.started(backend);
    try {
      const read = await readCache(backend, signal);
      const steps: Map<Digest, { step: CachedStep; contents: CacheContents }> = new Map();
      const foreign = read?.foreign ?? [];
      let count = 0;
      for (const contents of read?.contents ?? []) {
        count += contents.steps.length;
        for (const step of contents.steps) for (const key of step.keys) steps.set(key, { step, contents });
      }
      if (count === 0) count = foreign.reduce((sum, { records }) => sum + recordsWithLayers(records), 0);
      listener.done(backend, read && count);
      const mounts = (read?.contents ?? []).flatMap((contents) => contents.mounts ?? []);
      return { backend, steps, mounts, foreign };
    } catch (error) {
      throwIfAborted(signal);
      listener.failed(backend, error);
      return undefined;
    }
  }
}

function recordsWithLayers(records: ReadCache['foreign'][number]['records']): number {
  return records.filter(({ results }) => results.length > 0).length;
}

/** What the backend holds, or undefined where it holds nothing yet. @throws CACHE_INVALID, and what the backend throws */
export async function readCache(backend: CacheBackend, signal: AbortSignal): Promise<ReadCache | undefined> {
  const bytes = await backend.resolve(signal);
  return bytes && decodeCache(bytes, backend.form, (blob) => readBlob(backend, blob, signal));
}

/** A small blob, verified. @throws CACHE_INVALID */
export async function readBlob(
  backend: CacheBackend,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> {
  if (blob.size > CONFIG_BYTES)
    throw new BuildError('CACHE_INVALID', `its config says it has ${blob.size} bytes`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of backend.get(blob, signal)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (await matchesDigest(bytes, blob.digest)) return bytes;
  throw new BuildError('CACHE_INVALID', `blob ${blob.digest} has other bytes`);
}
