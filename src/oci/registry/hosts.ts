/** Settings of a registry, from the config file. */
export interface RegistrySettings {
  readonly mirrors: readonly string[];
  readonly insecure: boolean;
  readonly ca?: string;
}

/** One place that may hold a registry's images: base URLs to try in order (HTTPS and, where allowed, plain HTTP). */
export interface RegistryEndpoint {
  readonly urls: readonly string[];
  readonly isMirror: boolean;
  readonly insecure: boolean;
  readonly ca?: string;
}

/** Mirrors first, then the registry itself. `docker.io` is registry-1.docker.io; loopback may speak plain HTTP. */
export function endpointsOf(domain: string, settings: RegistrySettings | undefined): RegistryEndpoint[] {
  const insecure = settings?.insecure ?? false;
  const ca = settings?.ca === undefined ? {} : { ca: settings.ca };
  const mirrors = (settings?.mirrors ?? []).map((url) => ({
    urls: [url.replace(/\/+$/, '')],
    isMirror: true,
    insecure,
    ...ca,
  }));
  return [...mirrors, { urls: ownUrls(domain, insecure), isMirror: false, insecure, ...ca }];
}

function ownUrls(domain: string, insecure: boolean): string[] {
  const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
  if (isLoopback(host))
    return host.endsWith(':443') ? [`https://${host}`] : [`http://${host}`, `https://${host}`];
  return insecure ? [`https://${host}`, `http://${host}`] : [`https://${host}`];
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host);
}
