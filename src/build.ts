import { availableParallelism } from 'node:os';
import { BuildError, locateError } from './errors.js';
import { forgetStatIndex } from './worker/source/stat-index.js';
import { resolve } from 'node:path';
import { openDeadline } from './deadline.js';
import { sharesDisk, SpaceMaker, withSpace } from './disk-full.js';
import { type Compilation, compile, withSource } from './compile.js';
import { requireOwnDestinations } from './exporter/destinations.js';
import type { EarlyLoad } from './exporter/early-load.js';
import { exportImages } from './exporter/export.js';
import type { FrontendResult } from './frontend/convert.js';
import type { Definition } from './graph/definition.js';
import { createSnapshotResult } from './graph/snapshot.js';
import type { BuiltImage, Result, SnapshotResult } from './graph/contract.js';
import { formatReference, parseReference } from './oci/reference.js';
import type { OutputSpec } from './exporter/output-spec.js';
import type { BuildOptions, BuildResult } from './options.js';
import { formatBytes, type ProgressEvent, type ProgressListener } from './progress.js';
import { createExplainer } from './explain.js';
import { createRedaction } from './redaction.js';
import { RemoteCaches } from './remote-caches.js';
import { LeakCheck } from './secrets/leak-check.js';
import { proxyPasswords } from './secrets/proxy-passwords.js';
import { SecretVault } from './secrets/secret-vault.js';
import { Solver, type SolvedVertex } from './solver/solver.js';
import { openStore, type Store } from './store.js';
import { compareBuilds } from './verify.js';
import type { SecretPlaces } from './worker/ops/failed-steps.js';
import type { TimeLimits } from './worker/ops/time-limits.js';
import { createWorker, type Worker } from './worker/worker.js';

/**
 * Builds a Dockerfile: what the command `tsbuild build` does.
 *
 * Without `outputs` the image goes to the local image store under its tags. Rejects with a BuildError; nothing half-made
 * stays behind, finished steps stay cached. An abort of `signal` ends all processes and mounts before it rejects with
 * the signal's reason.
 */
export async function build(options: BuildOptions): Promise<BuildResult> {
  using deadline = openDeadline(options);
  const { signal } = deadline;
  const vault = new SecretVault(options.secrets ?? {}, proxyPasswords(options.buildArgs ?? {}, process.env));
  const redaction = createRedaction(vault);
  const onProgress = (event: ProgressEvent) => deadline.onProgress(redaction.event(event));
  for (let attempt = 1; ; attempt++) {
    try {
      return await buildWithin({ ...options, signal, onProgress }, signal, vault);
    } catch (error) {
      const isChange = error instanceof BuildError && error.code === 'CONTEXT_CHANGED';
      if (!isChange || attempt === MOST_ATTEMPTS) throw redaction.error(error);
      const message = `${error.message}; planning the build again, finished steps stay`;
      onProgress({ kind: 'note', atMs: Date.now(), message });
    }
  }
}

/** How often a build is planned when files change while they are copied. */
const MOST_ATTEMPTS = 3;

async function buildWithin(
  options: BuildOptions,
  signal: AbortSignal,
  vault: SecretVault,
): Promise<BuildResult> {
  requireOwnDestinations([{ outputs: options.outputs ?? [] }]);
  const leaks = openLeakCheck(options, vault);
  const names = [...new Set((options.tags ?? []).map((tag) => formatReference(parseReference(tag))))];
  const readsBlobsOnce = !options.outputs?.length && !options.cacheTo?.length;
  using store = openStore({ ...options, openScan: () => leaks?.openLayer(), readsBlobsOnce });
  const space = new SpaceMaker(store, signal);
  const compilation = await space.retrying('reading the Dockerfile and its images', () =>
    compile(options, store, signal, { vault }),
  );
  try {
    return await buildCompiled(options, { store, space, compilation, names, signal, vault, leaks });
  } catch (error) {
    if (error instanceof BuildError && error.code === 'CONTEXT_CHANGED')
      for (const directory of compilation.input.directories.values())
        forgetStatIndex(store.state.stat, directory);
    throw await withSource(await space.explained(error), compilation.input);
  } finally {
    compilation.agents.close();
  }
}

/** What was built is there: a prune that fails is no failure of the build. */
async function keepStoreSize(
  { keepStorageBytes: keepBytes, configFile, onProgress }: BuildOptions,
  store: Store,
  signal: AbortSignal,
): Promise<void> {
  const { keepSize } = await import('./disk.js');
  try {
    const pruned = await keepSize(store, { keepBytes, configFile, signal });
    if (!pruned || pruned.removed.length === 0) return;
    const message = `pruned ${formatBytes(pruned.bytes)} of the store, ${pruned.removed.length} things, to keep its size`;
    onProgress?.({ kind: 'note', atMs: Date.now(), message });
  } catch (error) {
    if (signal.aborted) throw error;
    const message = `the store could not be pruned: ${(error as Error).message}`;
    onProgress?.({ kind: 'warning', atMs: Date.now(), message });
  }
}

interface BuildContext {
  readonly store: Store;
  readonly space: SpaceMaker;
  readonly compilation: Compilation;
  readonly names: readonly string[];
  readonly signal: AbortSignal;
  readonly vault: SecretVault;
  readonly leaks: LeakCheck | undefined;
}

async function buildCompiled(options: BuildOptions, context: BuildContext): Promise<BuildResult> {
  const { store, space, compilation, signal, vault, leaks } = context;
  const { frontend, input, remote, agents, secret } = compilation;
  const onProgress = options.onProgress ?? (() => undefined);
  const warnings = frontend.warnings;
  for (const warning of warnings) onProgress(warning);
  const isAvailable = (result: SnapshotResult) =>
    result.layers.every((layer) => store.layers.isAvailable(layer));
  const caches = new RemoteCaches(options, {
    store,
    isAvailable,
    signal,
    onProgress,
    contentDigest: (of, selectors) => worker.contentDigest(of, selectors, signal),
    checksLeaks: leaks !== undefined,
  });
  using earlyLoad = await openEarlyLoad(options, signal);
  const worker: Worker = createWorker({
    state: store.state,
    layers: store.layers,
    imageSource: store.imageSource,
    remoteSources: remote,
    contexts: input.directories,
    contextMode: options.contextMode ?? 'keep',
    ...(earlyLoad ? { onContextChange: () => earlyLoad.begin() } : {}),
    lock: store.lock,
    signal,
    secret,
    sshSocket: (id) => agents.socket(id),
    timeLimits: timeLimitsOf(options),
    resources: options.resources ?? {},
    ...(options.cacheFrom?.length
      ? { restoreCacheMount: (name, directory) => caches.restoreMount(name, directory) }
      : {}),
    logMask: () => vault.logMask(),
    layerWarning: (layer) => leaks?.takeWarning(layer),
    failureCare: {
      exports: options.onFailExports ?? [],
      places: secretPlaces(options),
      search: () => vault.search(),
    },
  });
  const solving = { caches, isAvailable, space, store, worker, signal, onProgress };
  const exporting = (images: readonly BuiltImage[]) => () =>
    exportAll(options, images, { ...context, earlyLoad }, onProgress);
  const attempt = async (): Promise<BuildResult> => {
    const { results, stats, solved } = await solve(options, frontend, solving);
    const images = builtImages(frontend, results);
    if (options.verifyReproducible) {
      const again = { ...frontend, definition: withoutCache(frontend.definition) };
      const { results: others } = await solve(options, again, solving);
      const { sourceDateEpochSec } = frontend;
      await compareBuilds(images, builtImages(frontend, others), store, sourceDateEpochSec, signal);
    }
    worker.idle();
    const exportable = await caches.withInline(solved, images);
    checkConfigs(options, exportable, context);
    if (leaks) await caches.checkLeaks(solved, leaks);
    const exported = await bothExports(
      () =>
        sharesDisk(store, options.outputs ?? [])
          ? space.retrying('the export', exporting(exportable))
          : exporting(exportable)(),
      (own) => caches.export(solved, images, own),
      signal,
    );
    return { ...exported, warnings, stats };
  };
  try {
    const result = await caches.withoutLost(attempt);
    if (result.stats.executed > 0) await keepStoreSize(options, store, signal);
    return result;
  } finally {
    await caches.close();
    await worker.close();
  }
}

/**
 * Exports images and caches side by side. Images that fail end the export of caches, which nobody shall find then; images stay when a
 * cache fails. Throws what failed first, once both have ended.
 */
async function bothExports<T>(
  exportImages: () => Promise<T>,
  exportCaches: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<T> {
  const ending = new AbortController();
  const failures: unknown[] = [];
  const [exported] = await Promise.allSettled([
    exportImages().catch((error: unknown) => {
      failures.push(error);
      ending.abort(error);
      throw error;
    }),
    exportCaches(AbortSignal.any([signal, ending.signal])).catch((error: unknown) => failures.push(error)),
  ]);
  if (exported.status === 'rejected' || failures.length > 0) throw failures[0];
  return exported.value;
}

/** Loaded only for an engine. */
async function openEarlyLoad(
  { outputs = [] }: BuildOptions,
  signal: AbortSignal,
): Promise<EarlyLoad | undefined> {
  if (!outputs.some(({ type, dest }) => type === 'docker' && dest === undefined)) return undefined;
  return (await import('./exporter/early-load.js')).EarlyLoad.of(signal);
}

function openLeakCheck({ secretScan = 'error', secrets }: BuildOptions, vault: SecretVault) {
  const isNeeded = secretScan !== 'off' && Object.keys(secrets ?? {}).length > 0;
  return isNeeded ? new LeakCheck(secretScan, () => vault.search()) : undefined;
}

/** What people read of an image: its config with the history, and its annotations. @throws SECRET_LEAKED */
function checkConfigs(
  { annotations = {}, onProgress }: BuildOptions,
  images: readonly BuiltImage[],
  { leaks }: BuildContext,
): void {
  for (const [what, value] of [
    ['the image’s config', images.map(({ config }) => config)],
    ['the annotations', annotations],
  ] as const) {
    leaks?.checkJson(value, what);
    const message = leaks?.takeWarning(what);
    if (message !== undefined) onProgress?.({ kind: 'warning', atMs: Date.now(), message });
  }
}

/** Absolute, so that `tsbuild debug` finds them from anywhere. */
function secretPlaces({ secrets = {}, ssh = {} }: BuildOptions): SecretPlaces {
  return {
    secrets: Object.fromEntries(
      Object.entries(secrets).map(([id, origin]) => [
        id,
        'file' in origin ? { file: resolve(origin.file) } : origin,
      ]),
    ),
    ssh: Object.fromEntries(
      Object.entries(ssh).map(([id, { paths }]) => [
        id,
        { paths: paths.map((path) => (path === '' ? '' : resolve(path))) },
      ]),
    ),
  };
}

function timeLimitsOf({ stepTimeoutMs, idleTimeoutMs }: BuildOptions): TimeLimits {
  return {
    ...(stepTimeoutMs === undefined ? {} : { stepMs: stepTimeoutMs }),
    ...(idleTimeoutMs === undefined ? {} : { idleMs: idleTimeoutMs }),
  };
}

function builtImages(frontend: FrontendResult, results: readonly (Result | undefined)[]): BuiltImage[] {
  return frontend.targets.map(({ platform, config, baseHistoryLength }, i) => {
    const result = results[i];
    const layers = result?.kind === 'snapshot' ? result.layers : [];
    return { platform, layers, config, baseHistoryLength };
  });
}

/** Every step runs again; sources stay as they are. */
function withoutCache(definition: Definition): Definition {
  const vertices = [...definition.vertices].map(([digest, vertex]) => {
    const ignoreCache = vertex.op.kind !== 'source';
    const options = { ...vertex.options, ignoreCache, ignoreCacheFlag: '--verify-reproducible' };
    return [digest, { ...vertex, options }] as const;
  });
  return { ...definition, vertices: new Map(vertices) };
}

interface Solving {
  readonly caches: RemoteCaches;
  readonly isAvailable: (result: SnapshotResult) => boolean;
  readonly space: SpaceMaker;
  readonly store: Store;
  readonly worker: Worker;
  readonly signal: AbortSignal;
  readonly onProgress: ProgressListener;
}

/** One result for each target, in order; a target without a head is an empty image. */
async function solve(
  options: BuildOptions,
  frontend: FrontendResult,
  { caches, isAvailable, space, store, worker, signal, onProgress }: Solving,
): Promise<{
  results: (Result | undefined)[];
  stats: BuildResult['stats'];
  solved: readonly SolvedVertex[];
}> {
  const { definition } = frontend;
  const explainer = createExplainer(options, { store, definition, onProgress });
  const solver = new Solver({
    resolve: (vertex, graph) => withSpace(worker.resolve(vertex, graph), space),
    records: caches.solverRecords(),
    isAvailable,
    lock: store.lock,
    lanes: {
      exec: options.jobs ?? availableParallelism(),
      network: 4,
      disk: Math.max(2, availableParallelism()),
    },
    onProgress,
    ...(options.keepGoing ? { keepGoing: true } : {}),
    identify: async ({ layers }, job) =>
      createSnapshotResult(await store.layers.withTrees(layers, job.signal, (row) => job.transfer(row))),
    witness: explainer,
  });
  const heads = frontend.targets.flatMap((target) => (target.head ? [target.head] : []));
  const { results, ...rest } = await solver
    .solve(definition, heads, signal)
    .finally(() => explainer.finish(heads.map((head) => head.vertex)));
  let next = 0;
  return { results: frontend.targets.map((target) => (target.head ? results[next++] : undefined)), ...rest };
}

const EXPORT_VERTEX = 'export';

async function exportAll(
  options: BuildOptions,
  images: readonly BuiltImage[],
  {
    store,
    compilation,
    names,
    signal,
    earlyLoad,
  }: BuildContext & { readonly earlyLoad: EarlyLoad | undefined },
  onProgress: ProgressListener,
): Promise<Pick<BuildResult, 'descriptor' | 'platforms' | 'names'>> {
  const { sourceDateEpochSec, isMultiPlatform } = compilation.frontend;
  const outputs: readonly OutputSpec[] = options.outputs?.length ? options.outputs : [{ type: 'image' }];
  const name = `exporting to ${outputs.map((output) => output.type).join(', ')}`;
  onProgress({ kind: 'announced', digest: EXPORT_VERTEX, atMs: Date.now(), name, inputs: [] });
  onProgress({ kind: 'started', digest: EXPORT_VERTEX, atMs: Date.now() });
  try {
    const exported = await exportImages(images, outputs, {
      content: store.content,
      layers: store.layers,
      images: store.images,
      registry: () => store.registry(),
      names,
      memory: store.state.archives,
      annotations: options.annotations ?? {},
      isMultiPlatform,
      stdout: options.stdout,
      lock: store.lock,
      ...(earlyLoad ? { earlyLoad } : {}),
      signal,
      onProgress: (row) => onProgress({ kind: 'transfer', digest: EXPORT_VERTEX, atMs: Date.now(), ...row }),
      onNote: (message) => onProgress({ kind: 'note', digest: EXPORT_VERTEX, atMs: Date.now(), message }),
      onWarning: (message) => onProgress({ kind: 'warning', atMs: Date.now(), message }),
      ...(sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec }),
    });
    onProgress({ kind: 'done', digest: EXPORT_VERTEX, atMs: Date.now() });
    return exported;
  } catch (error) {
    const located = locateError(error, { vertex: name });
    onProgress({ kind: 'failed', digest: EXPORT_VERTEX, atMs: Date.now(), message: located.message });
    throw located;
  }
}
