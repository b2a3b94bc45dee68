import type { ContentSelector, Layer, LockAcquirer, OpResolver, ResolvedOp } from '../graph/contract.js';
import { isLocalSource, type SourceOp } from '../graph/op.js';
import type { StateRoot } from '../cache/state-root.js';
import { BuildError } from '../errors.js';
import { BuildLimits } from './cgroup/build-limits.js';
import type { ResourceLimits } from './cgroup/limits.js';
import type { Digest } from '../oci/digest.js';
import { createExecutorSelector } from './executor/select-executor.js';
import { BuildNetworks } from './network/build-network.js';
import type { CacheMountDependencies } from './ops/cache-mount.js';
import type { SecretReader } from './ops/exec-mounts.js';
import type { FailureCare } from './ops/after-failure.js';
import { createExecOp, type ExecOpDeps } from './ops/exec-op.js';
import { createFileOp } from './ops/file-op.js';
import { NextProcess } from './ops/next-process.js';
import type { TimeLimits } from './ops/time-limits.js';
import type { LayerStore } from './snapshot/layer-store.js';
import { OverlayRoots } from './snapshot/overlay.js';
import { createImageSourceOp } from './source/image-source-op.js';
import type { ImageSource } from './source/image-source.js';
import { type ContextMode, LocalContext } from './source/local-context.js';
import { createLocalSourceOp } from './source/local-source-op.js';
import { RemoteSources } from './source/remote-sources.js';

export interface WorkerOptions {
  readonly state: StateRoot;
  readonly layers: LayerStore;
  readonly imageSource: ImageSource;
  readonly remoteSources: RemoteSources;
  /** Directories by the name in `local://name`. */
  readonly contexts: ReadonlyMap<string, string>;
  readonly contextMode: ContextMode;
  /** A file of a context is not what it was. */
  readonly onContextChange?: () => void;
  readonly lock: LockAcquirer;
  /** Ends what takes long of what one file of a context needs. */
  readonly signal: AbortSignal;
  /** Fills a new directory of a cache mount from elsewhere. */
  readonly restoreCacheMount?: CacheMountDependencies['restoreCacheMount'];
  readonly secret: SecretReader;
  /** Socket of an ssh agent; undefined where the build has none of that name. */
  readonly sshSocket: (id: string) => Promise<string | undefined>;
  readonly timeLimits: TimeLimits;
  /** Limits of each step, and of all of them together. */
  readonly resources: { readonly step?: ResourceLimits; readonly build?: ResourceLimits };
  /** A mask for one stream of a step's output. */
  readonly logMask: ExecOpDeps['logMask'];
  readonly failureCare: Omit<FailureCare, 'directory'>;
  /** What is to be said of a layer that was just made. */
  readonly layerWarning: (layer: Digest) => string | undefined;
}

/** Binds ops to this machine. Nothing is mounted or started before a vertex is executed. */
export interface Worker {
  readonly resolve: OpResolver;
  /**
   * BuildKit's digest of a part of a local context, or of layers whose listings are at hand; undefined where it cannot be told.
   */
  contentDigest(
    of: SourceOp | readonly Layer[],
    selectors: readonly ContentSelector[],
    signal: AbortSignal,
  ): Promise<Digest | undefined>;
  /** No step runs any more: begins to end what only steps need. */
  idle(): void;
  /** Ends what is still mounted and removes the process's scratch space. */
  close(): Promise<void>;
}

export function createWorker(options: WorkerOptions): Worker {
  const {
    state,
    layers,
    imageSource,
    remoteSources,
    contexts,
    lock,
    secret,
    sshSocket,
    timeLimits,
    logMask,
  } = options;
  const overlays = new OverlayRoots({ work: state.work, layers });
  const createDirectory = () => overlays.createDirectory();
  const networks = new BuildNetworks({ createDirectory });
  const { step = {}, build = {} } = options.resources;
  const limits = new BuildLimits({ step, build, createDirectory });
  const executor = createExecutorSelector(state.filters);
  const next = new NextProcess({ executor, createDirectories: () => overlays.createDirectories() });
  const local = new Map<string, LocalContext>();
  const context = (name: string, ignorePatterns: readonly string[]): LocalContext => {
    const directory = contexts.get(name);
    if (directory === undefined) {
      throw new BuildError(
        'CONTEXT_NOT_FOUND',
        'this build has no context, so there is nothing to COPY or ADD from',
        {
          hint: 'give a directory in place of "-", or copy from a stage with --from',
        },
      );
    }
    const key = JSON.stringify([name, ignorePatterns]);
    let opened = local.get(key);
    if (!opened) {
      opened = new LocalContext(directory, ignorePatterns, {
        statRoot: state.stat,
        mode: options.contextMode,
        signal: options.signal,
        ...(options.onContextChange ? { onChange: options.onContextChange } : {}),
      });
      local.set(key, opened);
    }
    return opened;
  };
  const resolve: OpResolver = (vertex, definition) => {
    const { op } = vertex;
    switch (op.kind) {
      case 'exec':
        return createExecOp(vertex, definition, {
          overlays,
          layers,
          networks,
          limits,
          executor,
          next,
          logs: state.logs,
          cacheMounts: state.mounts,
          ...(options.restoreCacheMount ? { restoreCacheMount: options.restoreCacheMount } : {}),
          lock,
          secret,
          sshSocket,
          timeLimits,
          logMask,
          failureCare: { ...options.failureCare, directory: state.failed },
        });
      case 'file':
        return createFileOp(vertex, definition, {
          layers,
          context,
          workDirectory: () => overlays.workDirectory(),
        });
      case 'source':
        if (isLocalSource(op)) return createLocalSourceOp(op);
        if (RemoteSources.handles(op))
          return remoteSources.resolveOp(op, layers, () => overlays.workDirectory());
        return createImageSourceOp(op, imageSource);
    }
  };
  const contentDigest: Worker['contentDigest'] = async (of, selectors, signal) => {
    const { contentOfContext, contentOfLayers } = await import('./ops/buildkit-content.js');
    if (isLayers(of)) return contentOfLayers(of, layers, selectors, signal);
    return contentOfContext(
      context(of.identifier.slice('local://'.length), of.ignorePatterns ?? []),
      selectors,
    );
  };
  const close = async () => {
    next[Symbol.dispose]();
    await Promise.all([networks.close(), limits.close()]);
    await overlays.close();
  };
  return {
    resolve: (vertex, definition) => withWarnings(resolve(vertex, definition), options),
    contentDigest,
    idle: () => {
      next[Symbol.dispose]();
      void networks.close();
    },
    close,
  };
}

function isLayers(of: SourceOp | readonly Layer[]): of is readonly Layer[] {
  return Array.isArray(of);
}

/** Says in the vertex's own place what was found in the layer that it made. */
function withWarnings(op: ResolvedOp, { layerWarning }: Pick<WorkerOptions, 'layerWarning'>): ResolvedOp {
  return {
    ...op,
    exec: async (job, inputs) => {
      const results = await op.exec(job, inputs);
      for (const result of results) {
        const made = result.kind === 'snapshot' ? result.layers.at(-1) : undefined;
        const warning = made && layerWarning(made.diffId);
        if (warning !== undefined) job.note(`warning: ${warning}`);
      }
      return results;
    },
  };
}
