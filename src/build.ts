import { availableParallelism } from 'node:os';
import { BuildError, locateError } from './errors.js';
import { type BuildInput, readBuildInput } from './build-input.js';
import { exportImages } from './exporter/export.js';
import { locateWord } from './frontend/ast.js';
import { convertDockerfile, type FrontendResult } from './frontend/convert.js';
import type { BuiltImage, Result } from './graph/contract.js';
import { hostPlatform, parsePlatform } from './oci/platform.js';
import { formatReference, parseReference } from './oci/reference.js';
import type { OutputSpec } from './exporter/output-spec.js';
import type { BuildOptions, BuildResult } from './options.js';
import type { ProgressListener } from './progress.js';
import { CacheRecords } from './cache/cache-records.js';
import { createSecretReader } from './secrets.js';
import { Solver } from './solver/solver.js';
import { openStore, type Store } from './store.js';
import { createWorker, type Worker } from './worker/worker.js';

/**
 * Builds a Dockerfile: what the command `tsbuild build` does.
 *
 * Without `outputs` the image goes to the local image store under its tags. Rejects with a BuildError; nothing half-made
 * stays behind, finished steps stay cached. An abort of `signal` ends all processes and mounts before it rejects with
 * the signal's reason.
 */
export async function build(options: BuildOptions): Promise<BuildResult> {
  const signal = options.signal ?? new AbortController().signal;
  const names = [...new Set((options.tags ?? []).map((tag) => formatReference(parseReference(tag))))];
  const store = openStore(options);
  const input = await readBuildInput(options);
  try {
    return await buildInput(options, { store, input, names, signal });
  } catch (error) {
    throw await withSource(error, input);
  }
}

interface BuildContext {
  readonly store: Store;
  readonly input: BuildInput;
  readonly names: readonly string[];
  readonly signal: AbortSignal;
}

async function buildInput(options: BuildOptions, context: BuildContext): Promise<BuildResult> {
  const { store, input, signal } = context;
  const onProgress = options.onProgress ?? (() => undefined);
  const frontend = await convert(options, context);
  const warnings = frontend.warnings;
  for (const warning of warnings) onProgress(warning);
  const worker = createWorker({
    state: store.state,
    layers: store.layers,
    imageSource: store.imageSource,
    contexts: input.contexts,
    lock: store.lock,
    secret: createSecretReader(options.secrets ?? {}),
  });
  try {
    const { results, stats } = await solve(options, frontend, { store, worker, signal, onProgress });
    const images = frontend.targets.map((target, i): BuiltImage => {
      const result = results[i];
      return {
        platform: target.platform,
        layers: result?.kind === 'snapshot' ? result.layers : [],
        config: target.config,
        baseHistoryLength: target.baseHistoryLength,
      };
    });
    const exported = await exportAll(options, images, context, onProgress);
    return { ...exported, warnings, stats };
  } finally {
    await worker.close();
  }
}

function convert(options: BuildOptions, { store, input, signal }: BuildContext): Promise<FrontendResult> {
  const { sourceDateEpochSec } = input;
  return convertDockerfile({
    dockerfile: input.dockerfile,
    buildArgs: input.buildArgs,
    platforms: (options.platforms ?? []).map(parsePlatform),
    buildPlatform: hostPlatform(),
    labels: options.labels ?? {},
    noCache: options.noCache ?? false,
    noCacheFilter: options.noCacheFilter ?? [],
    network: options.network ?? 'default',
    imageResolver: store.imageSource,
    ignorePatterns: input.ignorePatterns,
    extraHosts: options.addHosts ?? [],
    signal,
    ...(options.target === undefined ? {} : { target: options.target }),
    ...(sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec }),
  });
}

/** One result for each target, in order; a target without a head is an empty image. */
async function solve(
  options: BuildOptions,
  frontend: FrontendResult,
  {
    store,
    worker,
    signal,
    onProgress,
  }: { store: Store; worker: Worker; signal: AbortSignal; onProgress: ProgressListener },
): Promise<{ results: (Result | undefined)[]; stats: BuildResult['stats'] }> {
  const solver = new Solver({
    resolve: worker.resolve,
    records: new CacheRecords(store.state.records),
    isAvailable: (result) => result.layers.every((layer) => store.layers.isAvailable(layer)),
    lock: store.lock,
    lanes: {
      exec: options.jobs ?? availableParallelism(),
      network: 4,
      disk: Math.max(2, availableParallelism()),
    },
    onProgress,
  });
  const heads = frontend.targets.flatMap((target) => (target.head ? [target.head] : []));
  const { results, stats } = await solver.solve(frontend.definition, heads, signal);
  let next = 0;
  return { results: frontend.targets.map((target) => (target.head ? results[next++] : undefined)), stats };
}

const EXPORT_VERTEX = 'export';

async function exportAll(
  options: BuildOptions,
  images: readonly BuiltImage[],
  { store, input, names, signal }: BuildContext,
  onProgress: ProgressListener,
): Promise<Pick<BuildResult, 'descriptor' | 'platforms' | 'names'>> {
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
      annotations: options.annotations ?? {},
      stdout: options.stdout ?? process.stdout,
      signal,
      onProgress: (row) => onProgress({ kind: 'transfer', digest: EXPORT_VERTEX, atMs: Date.now(), ...row }),
      ...(input.sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec: input.sourceDateEpochSec }),
    });
    onProgress({ kind: 'done', digest: EXPORT_VERTEX, atMs: Date.now() });
    return exported;
  } catch (error) {
    const located = locateError(error, { vertex: name });
    onProgress({ kind: 'failed', digest: EXPORT_VERTEX, atMs: Date.now(), message: located.message });
    throw located;
  }
}

/** Gives an error with a place in the Dockerfile the Dockerfile's text for the excerpt, and the word that its message quotes. */
async function withSource(error: unknown, input: BuildInput): Promise<unknown> {
  if (!(error instanceof BuildError) || error.location?.file !== input.dockerfile.name) return error;
  const quoted = [...error.message.matchAll(/"([^"]+)"/g)].flatMap((match) => [
    match[1]!,
    match[1]!.replace(/^\//, ''),
  ]);
  return error.withSource(input.dockerfile, await locateWord(input.dockerfile.text, error.location, quoted));
}
