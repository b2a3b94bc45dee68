import { BuildError } from '../../errors.js';

/** Whether two URLs lead to the same server in the same way: a host alone is not enough, since plain HTTP shows what TLS hides. */
export function isSameOrigin(a: string, b: string): boolean {
  return new URL(a).origin === new URL(b).origin;
}

/**
 * Where a redirect of `from` leads. @throws REGISTRY_FAILED for what is no HTTP, and for plain HTTP in place of TLS
 * @param what for the message: what was asked for
 */
export function redirectTarget(location: string, from: string, what: string): string {
  const refused = (why: string) =>
    new BuildError('REGISTRY_FAILED', `${what}: the server redirects to ${why}`, {
      hint: 'ask who runs the server; nothing was sent there',
    });
  if (!URL.canParse(location, from)) throw refused('what is no URL');
  const target = new URL(location, from);
  if (target.protocol !== 'https:' && target.protocol !== 'http:')
    throw refused(`a "${target.protocol}" URL, which is not followed`);
  if (target.protocol === 'http:' && new URL(from).protocol === 'https:')
    throw refused(`"${target.host}" without TLS`);
  target.username = target.password = '';
  return target.href;
}
