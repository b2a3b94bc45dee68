import { BuildError } from './errors.js';
import {
  findImage,
  findImageById,
  type FoundImage,
  isImageId,
  layersIn,
  ownPlatformImage,
} from './find-image.js';
import type { Layer } from './graph/contract.js';
import type { ContainerConfig } from './oci/image-config.js';
import { hostPlatform } from './oci/platform.js';
import { parseReference } from './oci/reference.js';
import type { StoreOptions } from './options.js';
import { openStore, type Store } from './store.js';
import { BuildLimits } from './worker/cgroup/build-limits.js';
import type { ResourceLimits } from './worker/cgroup/limits.js';
import type { CapabilityChange } from './worker/executor/capabilities.js';
import type { ProcessMount, TmpfsMount } from './worker/executor/executor.js';
import { runForwarding, withInit } from './worker/executor/first-process.js';
import { createExecutorSelector } from './worker/executor/select-executor.js';
import { prepareProcess } from './worker/ops/exec-process.js';
import { BuildNetworks } from './worker/network/build-network.js';
import { type PublishedPort, publishPorts } from './worker/network/published-ports.js';
import { OverlayRoots } from './worker/snapshot/overlay.js';

export interface RunOptions extends StoreOptions {
  readonly image: string;
  /** In place of the image's CMD. */
  readonly command?: readonly string[];
  /** In place of the image's ENTRYPOINT; its CMD is left out then as well. Empty: none. */
  readonly entrypoint?: string;
  /** `K=V` beside the image's. */
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly network?: 'default' | 'none' | 'host';
  readonly hostname?: string;
  /** `host:ip` */
  readonly addHosts?: readonly string[];
  /** Directories and files of the host. */
  readonly volumes?: readonly ProcessMount[];
  readonly tmpfs?: readonly TmpfsMount[];
  /** The program's stdin is this process's; without it, it is empty. */
  readonly interactive?: boolean;
  /** The program has a terminal, where this process's stdin and stdout are one. */
  readonly terminal?: boolean;
  /** An init of the host is the first process: it hands signals on and waits for orphans. */
  readonly init?: boolean;
  readonly ports?: readonly PublishedPort[];
  readonly readOnly?: boolean;
  readonly capabilities?: CapabilityChange;
  readonly resources?: ResourceLimits;
  /** `nofile=1024:2048` */
  readonly ulimits?: readonly string[];
  readonly shmSizeBytes?: number;
  /** Is told what is not as it should be on this machine. */
  readonly onNote?: (message: string) => void;
}

function imageById(store: Store, name: string): Promise<FoundImage | undefined> {
  if (isImageId(name)) return findImage(store, name);
  const hasName = store.images.find(parseReference(name)) !== undefined;
  return hasName ? Promise.resolve(undefined) : findImageById(store, name);
}

/** By its ID from the local store alone; by its name, which may look like an ID, from a registry, too. */
async function imageToRun(
  store: Store,
  name: string,
  signal: AbortSignal,
): Promise<{ config: ContainerConfig; layers: readonly Layer[] }> {
  const byId = await imageById(store, name);
  if (byId) {
    const image = await ownPlatformImage(store, byId.root, name);
    return { config: image.config.config ?? {}, layers: layersIn(store, byId.root, image) };
  }
  const resolved = await store.imageSource.resolveImage(name, hostPlatform(), { strict: false, signal });
  return {
    config: resolved.config.config ?? {},
    layers: await store.imageSource.layersOf(resolved.identifier),
  };
}

/**
 * Runs an image with this process's stdout and stderr: ENTRYPOINT and CMD, or the command given. What it writes to its
 * files is thrown away. A signal that ends this process goes to the program, which has ten seconds to end by itself. Resolves with
 * its exit code, 128 + n for signal n.
 * @throws IMAGE_NOT_FOUND, USAGE when there is nothing to run or an option cannot work, RUN_FAILED when the program cannot be started
 */
export async function runImage(options: RunOptions): Promise<number> {
  const signal = options.signal ?? new AbortController().signal;
  using store = openStore(options);
  const { config, layers } = await imageToRun(store, options.image, signal);
  const args = commandOf(config, options);
  const overlays = new OverlayRoots({ work: store.state.work, layers: store.layers });
  const createDirectory = () => overlays.createDirectory();
  const networks = new BuildNetworks({ createDirectory });
  // At the top, where shares of time are weighed against those of other runs.
  const limits = new BuildLimits({ step: {}, build: options.resources ?? {}, createDirectory });
  const note = options.onNote ?? (() => undefined);
  try {
    await using limited = await limits.openStep(signal, note);
    await using root = await overlays.mount(layers, signal);
    const terminal = hasTerminal(options, note);
    const init = options.init ? withInit(args) : undefined;
    const network = await networks.open(options.network ?? 'default', note);
    await using _published = await publishPorts(options.ports ?? [], network.process, note);
    const { spec } = prepareProcess(root, {
      args: init?.args ?? args,
      env: [...(config.Env ?? []), ...(terminal ? ['TERM=xterm'] : []), ...(options.env ?? [])],
      cwd: options.workdir ?? (config.WorkingDir || '/'),
      user: options.user ?? config.User ?? '',
      network,
      security: 'sandbox',
      hostname: options.hostname ?? 'tsbuild',
      mounts: [...(options.volumes ?? []), ...(init ? [init.mount] : [])],
      extraHosts: options.addHosts ?? [],
      ulimits: options.ulimits ?? [],
      ...(options.shmSizeBytes === undefined ? {} : { shmSizeBytes: options.shmSizeBytes }),
    });
    const limitedSpec = {
      ...spec,
      processFiles: limited.processFiles,
      tmpfs: options.tmpfs ?? [],
      readonlyRootfs: options.readOnly ?? false,
      ...(options.capabilities ? { capabilities: options.capabilities } : {}),
    };
    const io = { inherit: true, terminal, input: options.interactive ?? false } as const;
    const { exitCode } = await runForwarding(
      createExecutorSelector(store.state.filters)(),
      limitedSpec,
      io,
      signal,
    );
    const outOfMemory = limited.outOfMemory();
    if (outOfMemory !== undefined) note(outOfMemory);
    return exitCode;
  } finally {
    await networks.close();
    await limits.close();
    await overlays.close();
  }
}

/** @throws USAGE where typing is asked for and there is nothing to type on */
function hasTerminal(
  { terminal = false, interactive = false }: RunOptions,
  note: (message: string) => void,
): boolean {
  if (!terminal) return false;
  if (process.stdin.isTTY && process.stdout.isTTY) return true;
  if (interactive) {
    throw new BuildError('USAGE', '--tty: standard input and output are not a terminal', {
      hint: 'leave -t out: -i alone reads standard input',
    });
  }
  note('there is no terminal here: -t has no effect');
  return false;
}

function commandOf(config: ContainerConfig, options: RunOptions): string[] {
  const entrypoint =
    options.entrypoint === undefined ? (config.Entrypoint ?? []) : [options.entrypoint].filter(Boolean);
  const command = options.command?.length
    ? options.command
    : options.entrypoint === undefined
      ? (config.Cmd ?? [])
      : [];
  const args = [...entrypoint, ...command];
  if (args.length > 0) return args;
  throw new BuildError('USAGE', `image "${options.image}" has no command`, {
    hint: `name one: tsbuild run ${options.image} COMMAND`,
  });
}
