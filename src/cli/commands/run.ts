import { resolve } from 'node:path';
import { existsSync } from 'node:fs';
import { BuildError } from '../../errors.js';
import { runImage } from '../../run.js';
import { CAPABILITIES, type CapabilityChange } from '../../worker/executor/capabilities.js';
import type { ProcessMount } from '../../worker/executor/executor.js';
import { type CommandContext, type GlobalOptions, storeOptions } from '../command-context.js';
import { parseResources } from '../resource-option.js';
import { parsePublished, parseTmpfs } from '../run-options.js';
import { parseBytes } from '../size-option.js';

interface RunFlags extends GlobalOptions {
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly entrypoint?: string;
  readonly network?: string;
  readonly hostname?: string;
  readonly addHost?: readonly string[];
  readonly volume?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly publish?: readonly string[];
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly init?: boolean;
  readonly readOnly?: boolean;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly memory?: string;
  readonly memorySwap?: string;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpusetCpus?: string;
  readonly pidsLimit?: string;
  readonly ulimit?: readonly string[];
  readonly shmSize?: string;
}

/** `tsbuild run`: gives the program's own exit status. */
export async function runRun(
  image: string,
  command: readonly string[],
  flags: RunFlags,
  context: CommandContext,
): Promise<number> {
  const { network, user, workdir, entrypoint } = flags;
  if (network !== undefined && network !== 'host' && network !== 'none' && network !== 'default') {
    throw new BuildError('USAGE', `--network "${network}" is not known`, {
      hint: 'use default, none or host',
    });
  }
  const env = (flags.env ?? []).flatMap((pair) =>
    pair.includes('=') ? [pair] : process.env[pair] === undefined ? [] : [`${pair}=${process.env[pair]}`],
  );
  return runImage({
    ...storeOptions(flags, context),
    image,
    command,
    env,
    onNote: (message) => process.stderr.write(`${message}\n`),
    addHosts: flags.addHost ?? [],
    volumes: (flags.volume ?? []).map(parseVolume),
    tmpfs: (flags.tmpfs ?? []).map(parseTmpfs),
    ports: (flags.publish ?? []).map(parsePublished),
    interactive: flags.interactive ?? false,
    terminal: flags.tty ?? false,
    init: flags.init ?? false,
    readOnly: flags.readOnly ?? false,
    capabilities: { add: capabilitiesOf(flags.capAdd), drop: capabilitiesOf(flags.capDrop) },
    resources: parseResources(resourceSpecs(flags)).step,
    ulimits: flags.ulimit ?? [],
    ...(flags.hostname === undefined ? {} : { hostname: flags.hostname }),
    ...(flags.shmSize === undefined ? {} : { shmSizeBytes: parseBytes('--shm-size', flags.shmSize) }),
    ...(network === undefined ? {} : { network }),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
  });
}

/** docker run's flags as fields of `--resource`. */
function resourceSpecs(flags: RunFlags): string[] {
  const fields = {
    memory: flags.memory,
    'memory-swap': flags.memorySwap,
    cpus: flags.cpus,
    'cpu-shares': flags.cpuShares,
    'cpuset-cpus': flags.cpusetCpus,
    pids: flags.pidsLimit,
  };
  return Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}

/** `/host/path:/target` or `/host/path:/target:ro`. */
function parseVolume(text: string): ProcessMount {
  const [source = '', target = '', mode = 'rw'] = text.split(':');
  if (!target.startsWith('/') || (mode !== 'ro' && mode !== 'rw')) {
    throw new BuildError('USAGE', `--volume "${text}" is not SOURCE:/TARGET`, {
      hint: 'write it as ./data:/data:ro',
    });
  }
  if (!existsSync(source))
    throw new BuildError('USAGE', `--volume: "${source}" does not exist`, { hint: 'make it first' });
  return { source: resolve(source), target, readonly: mode === 'ro' };
}

/** Names as docker run takes them: `NET_ADMIN`, `cap_net_admin`, `ALL`. */
function capabilitiesOf(names: readonly string[] = []): CapabilityChange['add'] {
  return names.map((text) => {
    const upper = text.toUpperCase();
    const found = CAPABILITIES.find((name) => name === upper || name === `CAP_${upper}`);
    if (found) return found;
    if (upper === 'ALL') return upper;
    throw new BuildError('USAGE', `"${text}" is not a capability`, { hint: 'see capabilities(7)' });
  });
}
