import { isIP } from 'node:net';
import { textIfThere } from '../../cache/if-there.js';

/** What Docker takes when the host names no server that another network could reach. */
const PUBLIC_SERVERS = ['8.8.8.8', '8.8.4.4'];

const STUB_SERVER = '127.0.0.53';
const RESOLVED_FILE = '/run/systemd/resolve/resolv.conf';

/** Where name servers come from: files of the host. */
export type HostFileReader = (path: string) => string | undefined;

/**
 * resolv.conf for a process.
 *
 * - `host`: the host's own, as it is;
 * - `routed`: the host's without servers on loopback, which other networks do not reach; in place of systemd-resolved's stub,
 *   the servers that it asks;
 * - a name server's address: only that one.
 */
export function resolvConf(
  servers: 'host' | 'routed' | { readonly address: string },
  readHostFile: HostFileReader = textIfThere,
): string {
  const own = readHostFile('/etc/resolv.conf') ?? '';
  if (servers === 'host') return own;
  const isStub = serversOf(own).every((server) => server === STUB_SERVER) && serversOf(own).length > 0;
  const text = isStub ? (readHostFile(RESOLVED_FILE) ?? own) : own;
  const reachable =
    servers === 'routed'
      ? serversOf(text).filter((server) => isIP(server) !== 0 && !isLoopback(server))
      : [servers.address];
  const used = reachable.length > 0 ? reachable : PUBLIC_SERVERS;
  const others = text.split('\n').filter((line) => /^\s*(search|domain|options|sortlist)\s/.test(line));
  return [...used.map((server) => `nameserver ${server}`), ...others].join('\n') + '\n';
}

function serversOf(text: string): string[] {
  return text.split('\n').flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
