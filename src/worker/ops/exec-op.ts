import { statfsSync } from 'node:fs';
import { BuildError } from '../../errors.js';
import type {
  CacheMap,
  CacheMapDep,
  JobContext,
  ResolvedOp,
  Result,
  SnapshotResult,
} from '../../graph/contract.js';
import type { Definition, Vertex } from '../../graph/definition.js';
import type { ExecOp } from '../../graph/op.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { digestOfJson } from '../../oci/digest.js';
import { formatPlatform } from '../../oci/platform.js';
import type { BuildLimits, LimitedStep } from '../cgroup/build-limits.js';
import type { LogMask } from '../../secrets/log-mask.js';
import type { Executor, PreparedProcess, ProcessSpec } from '../executor/executor.js';
import { runGracefully } from '../executor/graceful.js';
import type { BuildNetworks } from '../network/build-network.js';
import type { LayerStore } from '../snapshot/layer-store.js';
import { UnionView } from '../snapshot/union-view.js';
import { hasOneIdOnly } from '../sys/subordinate-ids.js';
import { afterFailure, type FailureCare } from './after-failure.js';
import { isRunnable } from './emulation.js';
import { execAsides, execComponents, mountKey } from './explain-op.js';
import { type MountDependencies, openMountSources } from './exec-mounts.js';
import { NETWORK_FILES, prepareProcess } from './exec-process.js';
import type { NextProcess } from './next-process.js';
import { startStepClock, type TimeLimits } from './time-limits.js';
import { listPaths, pathDigest } from './path-digest.js';
import { VertexLog } from './vertex-log.js';

/** What an exec op needs of the worker. */
export interface ExecOpDeps extends MountDependencies {
  readonly layers: Pick<LayerStore, 'commitDirectory' | 'indexes' | 'isListed'>;
  readonly networks: Pick<BuildNetworks, 'expect' | 'use'>;
  readonly limits: Pick<BuildLimits, 'openStep'>;
  /** Chosen on the first process. */
  readonly executor: () => Executor;
  readonly next: NextProcess;
  /** Directory of logs. */
  readonly logs: string;
  readonly timeLimits: TimeLimits;
  readonly logMask: () => LogMask | undefined;
  readonly failureCare: FailureCare;
}

/** Binds RUN to the worker: a process on the input's root file system, whose writes become one layer. */
export function createExecOp(vertex: Vertex, definition: Definition, deps: ExecOpDeps): ResolvedOp {
  const op = vertex.op as ExecOp;
  deps.networks.expect(vertex.digest);
  deps.next.expect(vertex);
  return {
    lane: 'exec',
    cacheMap: () => Promise.resolve(execCacheMap(op, vertex.inputs.length, deps.layers)),
    exec: async (job, inputs) => {
      using prepared = deps.next.take(vertex, definition);
      return [await runExec({ op, deps, job, inputs, prepared })];
    },
  };
}

function execCacheMap(op: ExecOp, inputCount: number, layers: ExecOpDeps['layers']): CacheMap {
  const { args, env, cwd, user, hostname, network, security, mounts, root } = op;
  const platform = formatPlatform(op.platform);
  const digest = digestOfJson({
    kind: 'exec',
    args,
    env,
    cwd,
    user,
    hostname,
    network,
    security,
    mounts: mounts.map(mountKey),
    shmSizeBytes: op.shmSizeBytes,
    ulimits: op.ulimits,
    root,
    platform,
  });
  const deps = Array.from({ length: inputCount }, (_, i) => execDep(op, i, layers));
  return { digest, deps, components: execComponents(op), asides: execAsides(op) };
}

/** The root takes part as a whole, an input that is only mounted with what the mounts show of it. */
function execDep(op: ExecOp, input: number, layers: ExecOpDeps['layers']): CacheMapDep {
  if (input === op.root) return {};
  const sources = op.mounts.flatMap((mount) =>
    'input' in mount && mount.input === input ? [mount.source ?? '/'] : [],
  );
  return {
    contentDigest: async (result, job) => {
      const view = new UnionView(await layers.indexes(snapshotOf(result).layers, job.signal));
      return digestOfJson(sources.map((source) => pathDigest(view, source)));
    },
    files: async (result, job) => {
      const { layers: own } = snapshotOf(result);
      if (!layers.isListed(own)) return undefined;
      return listPaths(new UnionView(await layers.indexes(own, job.signal)), sources);
    },
  };
}

interface ExecRun {
  readonly op: ExecOp;
  readonly deps: ExecOpDeps;
  readonly job: JobContext;
  readonly inputs: readonly Result[];
  readonly prepared: PreparedProcess | undefined;
}

async function runExec(run: ExecRun): Promise<SnapshotResult> {
  const { op, deps, job, inputs, prepared } = run;
  const parents = op.root < 0 ? [] : snapshotOf(inputs[op.root]).layers;
  const { extraHosts = [], proxyEnv = [] } = job.vertex.options;
  await using limited = await deps.limits.openStep(job.signal, (message) => job.note(message));
  // Made beside the mounting. Where that fails, nobody waits for it.
  const opening = deps.networks.use(job.vertex.digest, op.network, (message) => job.note(message));
  opening.catch(() => undefined);
  await using root = await deps.overlays.mount(parents, job.signal, {
    onProgress: (row) => job.transfer(row),
    emptyFiles: NETWORK_FILES,
    directories: prepared,
  });
  await using sources = await openMountSources(op, inputs.map(snapshotOf), root.directory, deps, job);
  using network = await opening;
  const { spec, removeStubs } = prepareProcess(root, {
    ...op,
    network,
    env: [...op.env, ...proxyEnv, ...sources.env],
    mounts: sources.mounts,
    extraHosts,
  });
  const { processFiles } = limited;
  using log = new VertexLog(deps.logs, job, deps.logMask);
  await runProcess(run, { ...spec, processFiles }, log)
    .catch((error: unknown) => {
      throw withMemory(error, limited) ?? fullDiskError(error, root.upper) ?? error;
    })
    .finally(removeStubs)
    .catch((error: unknown) => {
      const logPath = log.path();
      const step = {
        parents,
        inputs: inputs.map(snapshotOf),
        op,
        ...(logPath === undefined ? {} : { logPath }),
      };
      throw afterFailure(error, root, job, { care: deps.failureCare, step });
    });
  network[Symbol.dispose]();
  const createdAt = new Date().toISOString();
  const layer = await deps.layers.commitDirectory(root, parents, createdAt, job.signal);
  root.removeLater();
  return createSnapshotResult([...parents, layer]);
}

/** @throws RUN_FAILED for an exit code other than 0, TIMED_OUT, PLATFORM_NOT_RUNNABLE when that is to be expected */
async function runProcess(
  { op, deps, job, prepared }: ExecRun,
  spec: ProcessSpec,
  log: VertexLog,
): Promise<void> {
  using clock = startStepClock(deps.timeLimits, job.signal, () => log.lastLine());
  const onOutput = (stream: 1 | 2, data: Uint8Array) => {
    clock.heard();
    return log.write(stream, data);
  };
  const io = { onOutput, spares: deps.next.pipes, prepared };
  const running = runGracefully(deps.executor(), spec, io, clock.signal);
  deps.next.prepare();
  const { exitCode } = await running.catch((error: unknown) => {
    throw error instanceof BuildError && error.code === 'RUN_FAILED' ? failedRun(op, error.message) : error;
  });
  log.flush();
  if (exitCode !== 0) throw failedRun(op, `exit code: ${exitCode}`);
}

/** With less room than this, a program that fails has most likely met the end of the disk. */
const ALMOST_FULL_BYTES = 4 << 20;

/** What a failed program or runtime may not say: that its disk was full. Asked before its files go. */
function fullDiskError(error: unknown, upper: string): BuildError | undefined {
  if (!(error instanceof BuildError) || !['RUN_FAILED', 'EXECUTOR_FAILED'].includes(error.code))
    return undefined;
  const { bavail, bsize, ffree, files } = statfsSync(upper);
  const isFull = bavail * bsize < ALMOST_FULL_BYTES || (files > 0 && ffree < 16);
  return isFull
    ? new BuildError('DISK_FULL', `${error.message}; the disk of the store was full`, { cause: error })
    : undefined;
}

/** A program that was killed rarely says why; where memory was the reason, the error does. */
function withMemory(error: unknown, limited: LimitedStep): BuildError | undefined {
  const why = limited.outOfMemory();
  if (why === undefined || !(error instanceof BuildError) || error.code !== 'RUN_FAILED') return undefined;
  return new BuildError('OUT_OF_MEMORY', `${error.message}: ${why}`, {
    cause: error,
    hint: 'give it more with --resource memory=…, or let fewer steps run at once with --jobs',
  });
}

const ONE_ID_HINT =
  'steps have one user and one group here, so that programs that change owners or users fail; `tsbuild doctor` tells how to give more';

function failedRun(op: ExecOp, why: string): BuildError {
  const message = `process "${op.args.join(' ')}" did not complete successfully: ${why}`;
  if (isRunnable(op.platform)) {
    const hint = hasOneIdOnly() ? ONE_ID_HINT : undefined;
    return new BuildError('RUN_FAILED', message, { hint });
  }
  const platform = formatPlatform(op.platform);
  return new BuildError(
    'PLATFORM_NOT_RUNNABLE',
    `${message}; this machine cannot run programs for ${platform}`,
    {
      hint: `register an emulator for ${op.platform.architecture} (package qemu-user-static), or build for this machine's platform`,
    },
  );
}

function snapshotOf(result: Result | undefined): SnapshotResult {
  if (result?.kind === 'snapshot') return result;
  throw new BuildError('INTERNAL', 'a process can run on images and stages only');
}
