import { BuildError } from './errors.js';
import type { StoreOptions } from './options.js';
import { SecretVault } from './secrets/secret-vault.js';
import { openStore, type Store } from './store.js';
import { createExecutorSelector } from './worker/executor/select-executor.js';
import { BuildNetworks } from './worker/network/build-network.js';
import { openMountSources } from './worker/ops/exec-mounts.js';
import { prepareProcess } from './worker/ops/exec-process.js';
import { type FailedStepFiles, findFailedStep, listFailedSteps } from './worker/ops/failed-steps.js';
import { SshAgents } from './worker/ops/ssh-agents.js';
import { OverlayRoots } from './worker/snapshot/overlay.js';

export interface DebugOptions extends StoreOptions {
  /** Name of the failed step, or its beginning. */
  readonly id: string;
  /** Default: the shell of the step. */
  readonly command?: readonly string[];
  /** Is told what the step had and this process cannot have, such as a secret. */
  readonly onNote?: (message: string) => void;
}

/** A RUN that failed and whose files are kept. */
export interface FailedStepSummary {
  readonly id: string;
  readonly name: string;
  readonly message: string;
  readonly failedAt: string;
  readonly logPath?: string;
}

/** The failed steps that are kept, the last one first. */
export function listFailed(options: StoreOptions): FailedStepSummary[] {
  using store = openStore(options);
  return listFailedSteps(store.state.failed).map(({ id, name, message, failedAt, logPath }) => ({
    id,
    name,
    message,
    failedAt,
    ...(logPath === undefined ? {} : { logPath }),
  }));
}

/**
 * Runs a command, or a shell, in a failed step's place: on its files as it left them, with its environment, directory, user and
 * mounts; nothing of the build runs again. What it writes is thrown away, but for cache mounts. Resolves with its exit code.
 * @throws USAGE where no such step is kept
 */
export async function debugStep(options: DebugOptions): Promise<number> {
  const signal = options.signal ?? new AbortController().signal;
  const note = options.onNote ?? (() => undefined);
  using store = openStore(options);
  const step = findFailedStep(store.state.failed, options.id);
  const overlays = new OverlayRoots({ work: store.state.work, layers: store.layers });
  const networks = new BuildNetworks({ createDirectory: () => overlays.createDirectory() });
  const agents = new SshAgents(step.ssh);
  try {
    await using root = await overlays.mount(step.parents, signal, { above: step.upper });
    const op = { ...step.op, mounts: await availableMounts(step, agents, note) };
    const deps = mountDependencies(store, overlays, step, agents);
    await using sources = await openMountSources(op, step.inputs, root.directory, deps, {
      signal,
      note,
      transfer: () => undefined,
      vertex: { options: { name: `tsbuild debug ${step.id}` } },
    });
    const terminal = process.stdin.isTTY && process.stdout.isTTY;
    const { spec } = prepareProcess(root, {
      ...op,
      args: options.command?.length ? options.command : shellOf(op.args),
      env: [...op.env, ...(terminal ? [`TERM=${process.env['TERM'] ?? 'xterm'}`] : []), ...sources.env],
      network: await networks.open(op.network, note),
      mounts: sources.mounts,
      extraHosts: step.extraHosts,
    });
    const { exitCode } = await createExecutorSelector(store.state.filters)().run(
      spec,
      { inherit: true, terminal, input: true },
      signal,
    );
    return exitCode;
  } finally {
    agents.close();
    await networks.close();
    await overlays.close();
  }
}

function mountDependencies(store: Store, overlays: OverlayRoots, step: FailedStepFiles, agents: SshAgents) {
  const vault = new SecretVault(step.secrets);
  return {
    overlays,
    cacheMounts: store.state.mounts,
    lock: store.lock,
    secret: (id: string) => vault.read(id),
    sshSocket: (id: string) => agents.socket(id),
  };
}

/** The mounts without secrets and agents that are not where they were when the step ran. */
async function availableMounts(
  { op, secrets }: FailedStepFiles,
  agents: SshAgents,
  note: (message: string) => void,
) {
  const vault = new SecretVault(secrets);
  const isThere = await Promise.all(
    op.mounts.map(async (mount) => {
      try {
        if (mount.type === 'secret') vault.read(mount.id);
        if (mount.type === 'ssh') await agents.socket(mount.id);
        return true;
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
        note(`${error.message}; it is left out`);
        return false;
      }
    }),
  );
  return op.mounts.filter((_, i) => isThere[i]);
}

/** The program of `/bin/sh -c …`; `/bin/sh` where the step started no shell. */
function shellOf(args: readonly string[]): string[] {
  return [/(^|\/)\w*sh$/.test(args[0] ?? '') ? args[0]! : '/bin/sh'];
}
