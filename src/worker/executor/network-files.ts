import { readFileSync } from 'node:fs';

/** Host name of every process of a build that does not ask for another. */
export const DEFAULT_HOSTNAME = 'buildkitsandbox';

/** @param extraHosts `host:ip`, in the order given */
export function hostsFile(hostname: string, extraHosts: readonly string[]): string {
  const lines = [`127.0.0.1\tlocalhost ${hostname}`, '::1\tlocalhost ip6-localhost ip6-loopback'];
  for (const entry of extraHosts) {
    const separator = entry.indexOf(':');
    lines.push(`${entry.slice(separator + 1).replace(/^\[(.*)\]$/, '$1')}\t${entry.slice(0, separator)}`);
  }
  return lines.join('\n') + '\n';
}

/** The host's name servers; processes share the host's network, so servers on loopback work as well. */
export function resolvConf(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return '';
  }
}
