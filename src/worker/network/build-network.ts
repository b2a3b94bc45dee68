import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeTree } from '../../cache/leftovers.js';
import type { ExecOp } from '../../graph/op.js';
import { unmount } from '../sys/mounts.js';
import { enterMountNamespace, inUserNamespace } from '../sys/namespaces.js';
import { createNetworkNamespace } from '../sys/network-namespace.js';
import { hostAddress } from './host-network.js';
import type { Network, OpenNetwork } from './network.js';
import { resolvConf } from './resolv-conf.js';
import { openUserNetwork } from './user-network.js';
import { openVethNetwork, vethObstacle } from './veth-network.js';

/** Connects a network namespace to the world. Rejects with an Error that says what is in the way. */
export type NetworkOpener = (namespace: string, directory: string) => Promise<OpenNetwork>;

/** A network while one step of the build uses it. */
export interface NetworkUse extends Network, Disposable {}

/**
 * The networks of one build. That of `default` is made for the first process that asks for it, shared by all others, and gone
 * after {@link close}, which begins by itself with the end of the last step that was expected; the other modes need nothing.
 */
export class BuildNetworks {
  readonly #createDirectory: () => Promise<string>;
  readonly #ways: readonly NetworkOpener[];
  #default: Promise<OpenNetwork> | undefined;
  #closed: Promise<void> | undefined;
  readonly #expected = new Set<string>();
  #users = 0;

  /**
   * @param options.createDirectory a new directory in this process's scratch space
   * @param options.ways to connect a namespace, best first; default: all that there are
   */
  constructor(options: { createDirectory: () => Promise<string>; ways?: readonly NetworkOpener[] }) {
    this.#createDirectory = options.createDirectory;
    this.#ways = options.ways ?? [openWithVeth, openWithProgram];
  }

  /** @param note is told, once a build, where the host's network must do for `default` */
  async open(mode: ExecOp['network'], note: (message: string) => void): Promise<Network> {
    if (mode === 'default') return (this.#default ??= this.#openDefault(note));
    if (mode === 'none')
      return { process: 'none', resolvConf: resolvConf('routed'), hostAddress: hostAddress() };
    return hostNetwork();
  }

  /** A step that may ask for the network. Where it never does, that stays until {@link close}. */
  expect(step: string): void {
    this.#expected.add(step);
  }

  /** {@link open} for an expected step; the use ends before what the step wrote becomes a layer. */
  async use(step: string, mode: ExecOp['network'], note: (message: string) => void): Promise<NetworkUse> {
    let isUsed = true;
    this.#users += 1;
    const end = () => {
      if (!isUsed) return;
      isUsed = false;
      this.#users -= 1;
      this.#expected.delete(step);
      if (this.#users === 0 && this.#expected.size === 0) void this.close();
    };
    try {
      return { ...(await this.open(mode, note)), [Symbol.dispose]: end };
    } catch (error) {
      end();
      throw error;
    }
  }

  /** May be called again, to wait for the end. */
  async close(): Promise<void> {
    const network = this.#default;
    this.#default = undefined;
    if (network) {
      const closing = network.then((opened) => opened.close()).catch(() => undefined);
      this.#closed = Promise.all([this.#closed, closing]).then(() => undefined);
    }
    await this.#closed;
  }

  async #openDefault(note: (message: string) => void): Promise<OpenNetwork> {
    const directory = await this.#createDirectory();
    const obstacles: string[] = [];
    enterMountNamespace();
    for (const [i, open] of this.#ways.entries()) {
      const namespace = join(directory, `network-${i}`);
      try {
        createNetworkNamespace(namespace);
        return owning(await open(namespace, directory), namespace, directory);
      } catch (error) {
        obstacles.push((error as Error).message);
      }
      unmount(namespace);
    }
    rmSync(directory, { recursive: true });
    note(`steps use the host's network: ${obstacles.join('; ')} (tsbuild doctor tells what to do)`);
    return { ...hostNetwork(), close: async () => undefined };
  }
}

async function openWithProgram(namespace: string, directory: string): Promise<OpenNetwork> {
  const network = await openUserNetwork(namespace, directory);
  if (network) return network;
  throw new Error('neither slirp4netns nor pasta is installed');
}

/** Only root of the whole machine may change its network. @throws Error with what is in the way */
async function openWithVeth(namespace: string, directory: string): Promise<OpenNetwork> {
  const obstacle = inUserNamespace() ? 'an ordinary user may not add network devices' : vethObstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  return openVethNetwork(namespace, directory);
}

function owning(network: OpenNetwork, namespace: string, directory: string): OpenNetwork {
  const close = async () => {
    try {
      await network.close();
    } finally {
      unmount(namespace);
      removeTree(directory);
    }
  };
  return { ...network, close };
}

function hostNetwork(): Network {
  return { process: 'host', resolvConf: resolvConf('host'), hostAddress: '127.0.0.1' };
}
