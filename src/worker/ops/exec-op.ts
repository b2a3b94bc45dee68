import { createHash } from 'node:crypto';
import { BuildError } from '../../errors.js';
import type {
  CacheMap,
  CacheMapDep,
  JobContext,
  Layer,
  ResolvedOp,
  Result,
  SnapshotResult,
} from '../../graph/contract.js';
import type { Definition, Vertex } from '../../graph/definition.js';
import type { ExecMount, ExecOp, SourceOp } from '../../graph/op.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { digestFromHash, digestOf, digestOfJson, type Digest } from '../../oci/digest.js';
import { formatPlatform } from '../../oci/platform.js';
import type { Executor, ProcessSpec } from '../executor/executor.js';
import type { OverlayRoots } from '../snapshot/overlay.js';
import { isRunnable } from './emulation.js';
import { openMountSources } from './exec-mounts.js';
import { prepareProcess } from './exec-process.js';
import { VertexLog } from './vertex-log.js';

/** What an exec op needs of the worker. */
export interface ExecOpDeps {
  readonly overlays: OverlayRoots;
  readonly layers: DirectoryCommitter;
  /** Chosen on the first process. */
  readonly executor: () => Executor;
  /** Directory of logs. */
  readonly logs: string;
  readonly mounts: MountContents;
}

/** Makes layers out of what a process wrote: the layer store. */
export interface DirectoryCommitter {
  /** Takes over `upper` (overlay upper form, unmounted, on the store's file system) as the layer above `parents`. */
  commitDirectory(
    upper: string,
    parents: readonly Layer[],
    options: { createdAt: string; signal: AbortSignal },
  ): Promise<Layer>;
}

/** What bind mounts read, by content. */
export interface MountContents {
  /** Digest of all that is at the absolute path `source` of a snapshot; times do not count. */
  snapshotDigest(result: SnapshotResult, source: string, signal: AbortSignal): Promise<Digest>;
  /** The same for a directory of the caller, without the files that the op's patterns ignore. */
  localDigest(op: SourceOp, source: string, signal: AbortSignal): Promise<Digest>;
  /** Copies that to the path `target`, which does not exist yet. */
  copyLocal(op: SourceOp, source: string, target: string, signal: AbortSignal): Promise<void>;
}

/** Binds RUN to the worker: a process on the input's root file system, whose writes become one layer. */
export function createExecOp(vertex: Vertex, definition: Definition, deps: ExecOpDeps): ResolvedOp {
  const op = vertex.op as ExecOp;
  const inputOps = vertex.inputs.map((edge) => definition.vertices.get(edge.vertex)?.op);
  const localOps = inputOps.map((input) => (isLocal(input) ? input : undefined));
  return {
    lane: 'exec',
    cacheMap: (job) => execCacheMap(op, localOps, deps.mounts, job),
    exec: async (job, inputs) => [await runExec({ op, localOps, deps, job, inputs })],
  };
}

export interface ExecRun {
  readonly op: ExecOp;
  /** For each input of the vertex: its op where it is a directory of the caller. */
  readonly localOps: readonly (SourceOp | undefined)[];
  readonly deps: ExecOpDeps;
  readonly job: JobContext;
  readonly inputs: readonly Result[];
}

function isLocal(op: Vertex['op'] | undefined): op is SourceOp {
  return op?.kind === 'source' && op.identifier.startsWith('local://');
}

async function execCacheMap(
  op: ExecOp,
  localOps: readonly (SourceOp | undefined)[],
  contents: MountContents,
  job: JobContext,
): Promise<CacheMap> {
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
    mounts,
    root,
    platform,
  });
  const deps = localOps.map(async (localOp, i): Promise<CacheMapDep> => {
    const sources =
      i === root ? [] : mounts.filter((mount) => mount.input === i).map((mount) => mount.source);
    if (sources.length === 0) return {};
    if (localOp)
      return { early: await combine(sources, (path) => contents.localDigest(localOp, path, job.signal)) };
    return {
      contentDigest: (input) =>
        combine(sources, (path) => contents.snapshotDigest(input as SnapshotResult, path, job.signal)),
    };
  });
  return { digest, deps: await Promise.all(deps), components: componentsOf(op, platform) };
}

async function combine(paths: readonly string[], digest: (path: string) => Promise<Digest>): Promise<Digest> {
  const combined = createHash('sha256');
  for (const path of paths) combined.update(`${await digest(path)}\n`);
  return digestFromHash(combined);
}

function componentsOf(op: ExecOp, platform: string): Record<string, string> {
  const components: Record<string, string> = {
    args: digestOfJson(op.args),
    cwd: op.cwd,
    user: op.user,
    network: op.network,
    security: op.security,
    mounts: digestOfJson(op.mounts.map(mountForm)),
    platform,
  };
  for (const entry of op.env) {
    const separator = entry.indexOf('=');
    components[`env.${entry.slice(0, separator)}`] = digestOf(entry.slice(separator + 1));
  }
  return components;
}

function mountForm({ type, source, target, readonly }: ExecMount): object {
  return { type, source, target, readonly };
}

async function runExec(run: ExecRun): Promise<SnapshotResult> {
  const { op, deps, job } = run;
  const parents = op.root < 0 ? [] : (run.inputs[op.root] as SnapshotResult).layers;
  await using root = await deps.overlays.mount(parents, job.signal, (row) => job.transfer(row));
  await using sources = await openMountSources(run, root.directory);
  const { spec, removeStubs } = prepareProcess(run, root, sources.mounts);
  await runProcess(run, spec).finally(removeStubs);
  root.unmount();
  const createdAt = new Date().toISOString();
  const layer = await deps.layers.commitDirectory(root.upper, parents, { createdAt, signal: job.signal });
  return createSnapshotResult([...parents, layer]);
}

/** @throws RUN_FAILED for an exit code other than 0, PLATFORM_NOT_RUNNABLE when that is to be expected */
async function runProcess({ op, deps, job }: ExecRun, spec: ProcessSpec): Promise<void> {
  using log = new VertexLog(deps.logs, job);
  const io = { onOutput: (stream: 1 | 2, data: Uint8Array) => log.write(stream, data) };
  const { exitCode } = await deps
    .executor()
    .run(spec, io, job.signal)
    .catch((error: unknown) => {
      throw error instanceof BuildError && error.code === 'RUN_FAILED' ? failedRun(op, error.message) : error;
    });
  if (exitCode !== 0) throw failedRun(op, `exit code: ${exitCode}`);
}

function failedRun(op: ExecOp, why: string): BuildError {
  const message = `process "${op.args.join(' ')}" did not complete successfully: ${why}`;
  if (isRunnable(op.platform)) return new BuildError('RUN_FAILED', message);
  const platform = formatPlatform(op.platform);
  return new BuildError(
    'PLATFORM_NOT_RUNNABLE',
    `${message}; this machine cannot run programs for ${platform}`,
    {
      hint: `register an emulator for ${op.platform.architecture} (package qemu-user-static), or build for this machine's platform`,
    },
  );
}
