import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { PID_FILE } from '../snapshot/work-directory.js';
import { findProgram } from '../sys/programs.js';
import { hostAddress } from './host-network.js';
import type { OpenNetwork } from './network.js';
import { resolvConf } from './resolv-conf.js';

/** Addresses as slirp4netns has them; pasta is told to use the same. */
const OWN_ADDRESS = '10.0.2.100';
const GATEWAY = '10.0.2.2';
const NAME_SERVER = '10.0.2.3';

/** Paths of the programs that there are. */
export interface UserNetworkPrograms {
  readonly slirp: string | undefined;
  readonly pasta: string | undefined;
}

/**
 * Connects a network namespace to the world through a program that speaks for it with sockets of the host, so that no right
 * is needed and nothing of the host changes: slirp4netns, else pasta. Neither leads to the host's loopback.
 *
 * @param directory takes the program's pid, so that a sweep finds it where this process was killed
 * @returns undefined where there is no such program
 * @throws Error of the program that failed
 */
export async function openUserNetwork(
  namespace: string,
  directory: string,
  { slirp, pasta }: UserNetworkPrograms = findPrograms(),
): Promise<OpenNetwork | undefined> {
  const end = slirp
    ? await startSlirp(slirp, namespace)
    : pasta
      ? startPasta(pasta, namespace, directory)
      : undefined;
  if (!end) return undefined;
  return {
    process: { namespace },
    resolvConf: resolvConf({ address: NAME_SERVER }),
    hostAddress: hostAddress(),
    close: async () => end(),
  };
}

const findPrograms = (): UserNetworkPrograms => ({
  slirp: findProgram('slirp4netns'),
  pasta: findProgram('pasta'),
});

/** It ends when this process does: then its exit descriptor is closed. */
async function startSlirp(program: string, namespace: string): Promise<() => void> {
  const [exit, ready] = [3, 4];
  const descriptors = ['--exit-fd', String(exit), '--ready-fd', String(ready)];
  const mode = ['--configure', '--disable-host-loopback', '--mtu=65520', '--netns-type=path'];
  const child = spawn(program, [...mode, ...descriptors, namespace, 'eth0'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  await readiness(child, ready);
  for (const stream of child.stdio) (stream as { unref?: () => void } | null)?.unref?.();
  child.unref();
  return () => void child.kill('SIGKILL');
}

/** @param ready the descriptor on which it says so */
function readiness(child: ChildProcess, ready: number): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // Where no descriptors were left for its pipes, it has none.
    if (child.pid === undefined) return;
    let messages = '';
    child.stderr!.on('data', (data: Buffer) => (messages += data.toString('utf8')));
    const fail = () => reject(new Error(`slirp4netns: ${messages.trim().split('\n')[0]}`));
    (child.stdio[ready] as Readable).once('data', () => resolve());
    child.once('exit', fail);
  });
}

/** It goes into the background once it is ready. Its parent's death does not reach it there, so its pid is noted. */
function startPasta(program: string, namespace: string, directory: string): () => void {
  const pidFile = join(directory, PID_FILE);
  const addresses = ['--address', OWN_ADDRESS, '--netmask', '24', '--gateway', GATEWAY];
  const noPorts = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--no-map-gw'];
  const { status, stderr, error } = spawnSync(
    program,
    [
      ...['--config-net', '--ns-ifname', 'eth0', ...addresses, '--dns-forward', NAME_SERVER, ...noPorts],
      ...['--quiet', '--runas', '0', '--pid', pidFile, '--netns-only', '--netns', namespace],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`pasta: ${(error?.message ?? stderr).trim().split('\n').at(-1)}`);
  const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  return () => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
}
