import { BuildError } from './errors.js';
import type { ContainerConfig } from './oci/image-config.js';
import { hostPlatform } from './oci/platform.js';
import type { StoreOptions } from './options.js';
import { openStore } from './store.js';
import { createExecutorSelector } from './worker/executor/select-executor.js';
import { prepareProcess } from './worker/ops/exec-process.js';
import { BuildNetworks } from './worker/network/build-network.js';
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
  /** Is told what is not as it should be on this machine. */
  readonly onNote?: (message: string) => void;
}

/**
 * Runs an image with this process's stdin, stdout and stderr: ENTRYPOINT and CMD, or the command given. What it writes to its
 * files is thrown away. Resolves with its exit code, 128 + n for signal n.
 * @throws IMAGE_NOT_FOUND, USAGE when there is nothing to run, RUN_FAILED when the program cannot be started
 */
export async function runImage(options: RunOptions): Promise<number> {
  const signal = options.signal ?? new AbortController().signal;
  using store = openStore(options);
  const resolved = await store.imageSource.resolveImage(options.image, hostPlatform(), {
    strict: false,
    signal,
  });
  const config = resolved.config.config ?? {};
  const args = commandOf(config, options);
  const layers = await store.imageSource.layersOf(resolved.identifier);
  const overlays = new OverlayRoots({ work: store.state.work, layers: store.layers });
  const networks = new BuildNetworks({ createDirectory: () => overlays.createDirectory() });
  try {
    await using root = await overlays.mount(layers, signal);
    const terminal = process.stdin.isTTY && process.stdout.isTTY;
    const { spec } = prepareProcess(root, {
      args,
      env: [...(config.Env ?? []), ...(terminal ? ['TERM=xterm'] : []), ...(options.env ?? [])],
      cwd: options.workdir ?? (config.WorkingDir || '/'),
      user: options.user ?? config.User ?? '',
      network: await networks.open(options.network ?? 'default', options.onNote ?? (() => undefined)),
      security: 'sandbox',
      hostname: 'tsbuild',
      mounts: [],
      extraHosts: [],
    });
    const { exitCode } = await createExecutorSelector()().run(spec, { inherit: true, terminal }, signal);
    return exitCode;
  } finally {
    await networks.close();
    await overlays.close();
  }
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
