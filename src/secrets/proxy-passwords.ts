const PROXY = /^(?:https?|ftp|all)_proxy$/i;

/**
 * Passwords in the URLs of proxies, as they are written there and decoded. Steps get these URLs, and what they print of them is not to be
 * shown.
 * @param sources build arguments and this process's environment
 */
export function proxyPasswords(
  ...sources: readonly Readonly<Record<string, string | undefined>>[]
): (readonly [name: string, value: Buffer])[] {
  return sources.flatMap((source) =>
    Object.entries(source).flatMap(([name, value = '']) => {
      const written = PROXY.test(name)
        ? /^(?:[a-z0-9+.-]+:\/\/)?[^/@]*?:([^/]*)@/i.exec(value)?.[1]
        : undefined;
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
