import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildkitLookup, type DigestSources, openBuildkitGraph } from './buildkit-caches.js';
import { CacheRecords } from './cache/cache-records.js';
import type { CacheBackend } from './cache/remote/cache-backend.js';
import {
  type CacheExportOptions,
  type CacheExportStats,
  EarlyUploads,
  exportCache,
  type ExportMounts,
  type ExportStep,
} from './cache/remote/cache-export.js';
import { ImportingRecords, type ImportListener } from './cache/remote/cache-import.js';
import {
  booleanAttribute,
  type CacheSpec,
  checkCacheSpec,
  choiceAttribute,
} from './cache/remote/cache-spec.js';
import type { BuildkitGraph } from './cache/remote/buildkit-graph.js';
import { inlineCache, inlineSteps } from './cache/remote/inline-cache.js';
import { openCacheBackend } from './cache/remote/open-backend.js';
import { locateError, throwIfAborted } from './errors.js';
import type { BuiltImage, SnapshotResult } from './graph/contract.js';
import { isListedSource } from './graph/op.js';
import type { BuildOptions } from './options.js';
import type { LeakCheck } from './secrets/leak-check.js';
import type { ProgressListener } from './progress.js';
import type { ResultRecords, SolvedVertex } from './solver/solver.js';
import type { Store } from './store.js';

export interface RemoteCachesContext {
  readonly store: Store;
  readonly isAvailable: (result: SnapshotResult) => boolean;
  readonly signal: AbortSignal;
  readonly onProgress: ProgressListener;
  readonly contentDigest: DigestSources['contentDigest'];
  /** {@link RemoteCaches.checkLeaks} comes before the export: nothing may be sent earlier. */
  readonly checksLeaks: boolean;
}

interface ExportTarget {
  readonly backend: CacheBackend;
  readonly mode: 'min' | 'max';
  readonly options: CacheExportOptions;
  readonly failsBuild: boolean;
  /** Whether the cache mount of that id goes along; undefined: none does. */
  readonly takesMount: ((id: string) => boolean) | undefined;
  /** With mode=max every layer goes to the cache, so that it may go as soon as it is there. */
  readonly early: EarlyUploads | undefined;
}

/** What an export is made of. */
interface Exported {
  readonly steps: readonly ExportStep[];
  readonly graph: BuildkitGraph;
  readonly images: readonly BuiltImage[];
  readonly mountIds: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** What a solve gives to caches, made when it is first asked for. */
interface Exportable {
  readonly steps: Promise<readonly ExportStep[]>;
  graph?: Promise<BuildkitGraph>;
}

/** The caches that `--cache-from` and `--cache-to` name: what a build looks up in them and writes to them. */
export class RemoteCaches {
  readonly records: CacheRecords | ImportingRecords;
  readonly #sources: DigestSources;
  readonly #context: RemoteCachesContext;
  readonly #targets: readonly ExportTarget[];
  readonly #writesInline: boolean;
  readonly #exportable = new WeakMap<readonly SolvedVertex[], Exportable>();

  /** Asks nothing of any backend. @throws USAGE, REFERENCE_INVALID */
  constructor(
    options: Pick<BuildOptions, 'cacheFrom' | 'cacheTo' | 'buildArgs'>,
    context: RemoteCachesContext,
  ) {
    this.#context = context;
    const { store, isAvailable, signal } = context;
    const backends = (options.cacheFrom ?? []).map((spec) => openCacheBackend(spec, 'from', store));
    const targets = options.cacheTo ?? [];
    this.#targets = targets
      .filter((spec) => spec.type !== 'inline')
      .map((spec) => exportTarget(spec, context));
    const inline = targets.filter((spec) => spec.type === 'inline');
    for (const spec of inline) checkCacheSpec(spec, 'to');
    this.#writesInline = inline.length > 0 || isTrue(options.buildArgs?.['BUILDKIT_INLINE_CACHE']);
    for (const backend of [...backends, ...this.#targets.map((target) => target.backend)]) {
      if (!backend.origin.startsWith('cache://')) continue;
      store.imageSource.openOrigin(backend.origin, (blob, own) => backend.get(blob, own));
    }
    const { contentDigest } = context;
    this.#sources = { contentDigest, imageLayers: (identifier) => store.imageSource.layersOf(identifier) };
    const records = new CacheRecords(store.state.records);
    this.records =
      backends.length === 0
        ? records
        : new ImportingRecords({ records, backends, isAvailable, listener: this.#listener(), signal });
  }

  /** For the solver. */
  solverRecords(): ResultRecords {
    const { records } = this;
    const own: ResultRecords = {
      load: (key) => records.load(key),
      save: (key, record) => {
        records.save(key, record);
        const layer = record.result.layers.at(-1);
        if (layer) for (const { early } of this.#targets) early?.offer(layer);
      },
    };
    if (!(records instanceof ImportingRecords)) return own;
    const lookup = new BuildkitLookup(records, this.#sources);
    return { ...own, findForeign: (definition, vertex, inputs) => lookup.find(definition, vertex, inputs) };
  }

  /** Ends what still goes to a cache of a build that failed. */
  async close(): Promise<void> {
    await Promise.all(this.#targets.map(({ early }) => early?.abandon()));
  }

  /** Fills a new directory of a cache mount from a cache that has it. */
  async restoreMount(name: string, directory: string): Promise<string | undefined> {
    if (!(this.records instanceof ImportingRecords)) return undefined;
    const { setTimesNs } = await import('./worker/sys/syscalls.js');
    return this.records.restoreMount(name, directory, setTimesNs);
  }

  /**
   * Looks for secrets in what {@link export} would send beside layers, which were looked at when they were made: names of steps and
   * files of cache mounts. @throws SECRET_LEAKED
   */
  async checkLeaks(solved: readonly SolvedVertex[], leaks: LeakCheck): Promise<void> {
    if (this.#targets.length === 0) return;
    const steps = await this.#exportableOf(solved).steps;
    const check = (what: string, look: () => void) => {
      look();
      const message = leaks.takeWarning(what);
      if (message !== undefined) this.#warn(message);
    };
    const names = 'the names of the cache’s steps';
    check(names, () =>
      leaks.checkJson(
        steps.map(({ name }) => name),
        names,
        'the cache',
      ),
    );
    const mountIds = cacheMountIds(solved);
    const isTaken = (id: string) =>
      mountIds.has(id) && this.#targets.some(({ takesMount }) => takesMount?.(id));
    for (const { id, path } of mountsOf(this.#context.store.state.mounts, isTaken).directories) {
      const what = `the cache mount "${id}"`;
      check(what, () => leaks.checkDirectory(path, what));
    }
  }

  /**
   * Writes what was solved to every target, and settles when all of them have ended. A cache that fails is a warning, unless its
   * `ignore-error=false` says other.
   */
  async export(
    solved: readonly SolvedVertex[],
    images: readonly BuiltImage[],
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#targets.length === 0) return;
    const steps = await this.#exportableOf(solved).steps;
    const mountIds = cacheMountIds(solved);
    const graph = await this.#graph(solved);
    throwIfAborted(signal);
    const exported = { steps, graph, images, mountIds, signal };
    const ends = await Promise.allSettled(this.#targets.map((target) => this.#exportTo(target, exported)));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  /** The images with a cache of themselves in their configs, where `type=inline` or BUILDKIT_INLINE_CACHE asks for it. */
  async withInline(
    solved: readonly SolvedVertex[],
    images: readonly BuiltImage[],
  ): Promise<readonly BuiltImage[]> {
    if (!this.#writesInline) return images;
    const steps = await this.#exportableOf(solved).steps;
    const graph = await this.#graph(solved);
    return Promise.all(
      images.map(async (image) => {
        const own = inlineSteps(steps, image.layers);
        const records = await inlineRecords(own, graph);
        return { ...image, config: { ...image.config, ...inlineCache(own, image.layers, records) } };
      }),
    );
  }

  #exportableOf(solved: readonly SolvedVertex[]): Exportable {
    let exportable = this.#exportable.get(solved);
    if (!exportable) this.#exportable.set(solved, (exportable = { steps: this.#steps(solved) }));
    return exportable;
  }

  #graph(solved: readonly SolvedVertex[]): Promise<BuildkitGraph> {
    const exportable = this.#exportableOf(solved);
    return (exportable.graph ??= exportable.steps.then((steps) => {
      const vertices = new Map(solved.map(({ vertex }) => [vertex.digest, vertex]));
      const layers = new Map(steps.map((step) => [step.vertex.digest, step.layers]));
      return openBuildkitGraph({ vertices, sources: [] }, this.#sources, ({ digest }) => layers.get(digest));
    }));
  }

  /** Runs a build, and again where it failed because a cache did not give a layer that it lists: without that cache then. */
  async withoutLost<T>(attempt: () => Promise<T>): Promise<T> {
    const { lostOrigins } = this.#context.store.layers;
    for (;;) {
      const known = lostOrigins.size;
      try {
        return await attempt();
      } catch (error) {
        throwIfAborted(this.#context.signal);
        if (lostOrigins.size === known) throw error;
        const { message } = locateError(error, {});
        this.#warn(`a layer of the cache cannot be had, so the build goes on without it: ${message}`);
      }
    }
  }

  /** Every step that has a record; images and local directories have none that another machine could use. */
  async #steps(solved: readonly SolvedVertex[]): Promise<ExportStep[]> {
    const steps: ExportStep[] = [];
    for (const { vertex, definition, adoption } of solved) {
      if (isListedSource(vertex.op)) continue;
      const record = await this.records.load(definition);
      if (!record || !this.#context.isAvailable(record.result)) continue;
      const { result, keys = [] } = record;
      const all = [...new Set([definition, ...keys, adoption(result)])];
      const { name, createdAt, contents } = record;
      steps.push({ vertex, keys: all, name, createdAt, layers: result.layers, contents });
    }
    return steps;
  }

  async #exportTo(target: ExportTarget, { steps, graph, images, mountIds, signal }: Exported): Promise<void> {
    const { store, onProgress } = this.#context;
    const { backend, mode, options, failsBuild, takesMount, early } = target;
    const digest = `cache-to ${backend.place}`;
    const name = `exporting cache to ${backend.place}`;
    onProgress({ kind: 'announced', digest, atMs: Date.now(), name, inputs: [] });
    onProgress({ kind: 'started', digest, atMs: Date.now() });
    const onUnfit: ExportMounts['onUnfit'] = ({ id }, error) => {
      if (failsBuild) throw error;
      const { message, hint } = locateError(error, {});
      this.#warn(`the cache mount "${id}" was not exported to ${backend.place}: ${message}`, hint);
    };
    const takes = takesMount && ((id: string) => mountIds.has(id) && takesMount(id));
    try {
      const stats = await exportCache(mode === 'max' ? steps : inImages(steps, images), backend, options, {
        layers: store.layers,
        content: store.content,
        graph,
        sentBefore: (await early?.finish(signal)) ?? [],
        mounts: takes && { ...mountsOf(store.state.mounts, takes), onUnfit },
        signal,
        onProgress: (row) => onProgress({ kind: 'transfer', digest, atMs: Date.now(), ...row }),
      });
      onProgress({ kind: 'note', digest, atMs: Date.now(), message: describeExport(stats) });
      onProgress({ kind: 'done', digest, atMs: Date.now() });
    } catch (error) {
      if (signal.aborted) onProgress({ kind: 'canceled', digest, atMs: Date.now() });
      throwIfAborted(signal);
      const located = locateError(error, { vertex: name });
      onProgress({ kind: 'failed', digest, atMs: Date.now(), message: located.message });
      if (failsBuild) throw located;
      this.#warn(`the cache was not exported to ${backend.place}: ${located.message}`, located.hint);
    }
  }

  #listener(): ImportListener {
    const { onProgress } = this.#context;
    const digestOf = (backend: CacheBackend) => `cache-from ${backend.place}`;
    return {
      started: (backend) => {
        const name = `importing cache from ${backend.place}`;
        const digest = digestOf(backend);
        onProgress({ kind: 'announced', digest, atMs: Date.now(), name, inputs: [] });
        onProgress({ kind: 'started', digest, atMs: Date.now() });
      },
      done: (backend, steps) => {
        const digest = digestOf(backend);
        const message = steps === undefined ? 'there is no cache yet' : `${steps} steps`;
        onProgress({ kind: 'note', digest, atMs: Date.now(), message });
        onProgress({ kind: 'done', digest, atMs: Date.now() });
      },
      failed: (backend, error) => {
        const { message, hint } = locateError(error, {});
        onProgress({ kind: 'failed', digest: digestOf(backend), atMs: Date.now(), message });
        this.#warn(`the cache of ${backend.place} cannot be used: ${message}`, hint);
      },
    };
  }

  #warn(message: string, detail?: string): void {
    const { onProgress } = this.#context;
    onProgress({
      kind: 'warning',
      atMs: Date.now(),
      message,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}

function exportTarget(spec: CacheSpec, { store, signal, checksLeaks }: RemoteCachesContext): ExportTarget {
  const ociTypes = booleanAttribute(spec, 'oci-mediatypes', true);
  const backend = openCacheBackend(spec, 'to', store);
  const mode = choiceAttribute(spec, 'mode', ['min', 'max'], 'min');
  const options: CacheExportOptions = {
    compression: choiceAttribute(spec, 'compression', ['gzip', 'zstd', 'uncompressed'], 'gzip'),
    baseLayers: booleanAttribute(spec, 'base-layers', true),
    forceCompression: booleanAttribute(spec, 'force-compression', false),
    imageManifest: booleanAttribute(spec, 'image-manifest', ociTypes),
    dockerTypes: !ociTypes,
  };
  const { layers, content } = store;
  return {
    backend,
    mode,
    options,
    early:
      mode === 'max' && !checksLeaks
        ? new EarlyUploads(backend, options, { layers, content, signal })
        : undefined,
    failsBuild: !booleanAttribute(spec, 'ignore-error', true),
    takesMount: mountChoice(spec.attributes['mounts']),
  };
}

/** BuildKit's records of steps whose layers are the first ones of an image, by the number of their last layer. */
async function inlineRecords(steps: readonly ExportStep[], graph: BuildkitGraph) {
  const { writeRecords } = await import('./cache/remote/buildkit-records.js');
  const recorded = steps.map(({ layers, ...step }) => ({
    ...step,
    layers: layers.map(({ diffId }) => ({ blob: diffId })),
  }));
  return (await writeRecords(recorded, graph)).records;
}

/** `mounts=all`, or ids. */
function mountChoice(written: string | undefined): ExportTarget['takesMount'] {
  if (!written) return undefined;
  const ids = written.split(',');
  return (id) => ids.includes('all') || ids.includes(id);
}

function cacheMountIds(solved: readonly SolvedVertex[]): Set<string> {
  const mounts = solved.flatMap(({ vertex: { op } }) => (op.kind === 'exec' ? op.mounts : []));
  return new Set(mounts.flatMap((mount) => (mount.type === 'cache' ? [mount.id] : [])));
}

/** Directories of cache mounts, by the ids that lie beside them. */
function mountsOf(root: string, isWanted: (id: string) => boolean): Omit<ExportMounts, 'onUnfit'> {
  const names = readdirSync(root).filter((name) => /^[0-9a-f]{32}(-0)?\.json$/.test(name));
  const directories = names.flatMap((file) => {
    const name = file.slice(0, -'.json'.length);
    const path = join(root, name);
    const { id } = JSON.parse(readFileSync(join(root, file), 'utf8')) as { id: string };
    return isWanted(id) && existsSync(path) ? [{ name, id, path }] : [];
  });
  return { directories, isWanted: (mount) => isWanted(mount.id) };
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 'true', 't'].includes(value.toLowerCase());
}

/** Steps whose layers are all in the images: what mode=min keeps. */
function inImages(steps: readonly ExportStep[], images: readonly BuiltImage[]): ExportStep[] {
  const held = new Set(images.flatMap((image) => image.layers.map((layer) => layer.diffId)));
  return steps.filter((step) => step.layers.every((layer) => held.has(layer.diffId)));
}

function describeExport({ steps, uploads, uploadedBytes }: CacheExportStats): string {
  if (uploads === 0) return `${steps} steps; nothing new to send`;
  return `${steps} steps; ${uploads} blobs sent, ${uploadedBytes} bytes`;
}
