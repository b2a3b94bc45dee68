/** As programs read them; the environment is not to be listed, since a cached build depends on what it asked for. */
const PROXIES = ['http_proxy', 'https_proxy', 'ftp_proxy', 'all_proxy'].flatMap((name) => [
  name,
  name.toUpperCase(),
]);

/**
 * Passwords in the URLs of proxies, as they are written there and decoded. Steps get these URLs, and what they print of them is not to be
 * shown.
 * @param sources build arguments and this process's environment
 */
export function proxyPasswords(
  ...sources: readonly Readonly<Record<string, string | undefined>>[]
): (readonly [name: string, value: Buffer])[] {
  return sources.flatMap((source) =>
    PROXIES.flatMap((name) => {
      const written = /^(?:[a-z0-9+.-]+:\/\/)?[^/@]*?:([^/]*)@/i.exec(source[name] ?? '')?.[1];
      if (!written) return [];
      return [...new Set([written, decoded(written)])].map((text) => [name, Buffer.from(text)] as const);
    }),
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
