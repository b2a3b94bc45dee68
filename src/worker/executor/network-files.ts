/** Host name of every process of a build that does not ask for another. */
export const DEFAULT_HOSTNAME = 'buildkitsandbox';

/**
 * @param extraHosts `host:ip`, in the order given; the ip may be `host-gateway`
 * @param hostAddress the host as the process reaches it
 */
export function hostsFile(hostname: string, extraHosts: readonly string[], hostAddress: string): string {
  const lines = [`127.0.0.1\tlocalhost ${hostname}`, '::1\tlocalhost ip6-localhost ip6-loopback'];
  for (const entry of extraHosts) {
    const separator = entry.indexOf(':');
    const address = entry.slice(separator + 1).replace(/^\[(.*)\]$/, '$1');
    lines.push(`${address === 'host-gateway' ? hostAddress : address}\t${entry.slice(0, separator)}`);
  }
  return lines.join('\n') + '\n';
}
