import type { ProcessNetwork } from '../executor/executor.js';

/** A network that processes can be started in. */
export interface Network {
  readonly process: ProcessNetwork;
  /** Content of their /etc/resolv.conf. */
  readonly resolvConf: string;
  /** The host as they reach it: what `host-gateway` stands for. */
  readonly hostAddress: string;
}

/** A network that ends: nothing of it stays on the host, where the kernel may take a moment for a device. */
export interface OpenNetwork extends Network {
  close(): Promise<void>;
}
