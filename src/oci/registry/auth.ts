import { BuildError } from '../../errors.js';
import { parseJson } from '../json.js';
import { LIMITS } from '../limits.js';
import type { Credentials } from './credentials.js';
import { registryError, type RequestSubject } from './registry-error.js';
import { sendHttp } from './transport.js';

export interface Challenge {
  readonly scheme: 'basic' | 'bearer';
  readonly parameters: Readonly<Record<string, string>>;
}

/** WWW-Authenticate (RFC 9110, 11.6.1): the first scheme that we speak. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  const match = /^\s*(basic|bearer)\s*(.*)$/is.exec(header ?? '');
  if (!match) return undefined;
  const parameters: Record<string, string> = {};
  for (const [, name, quoted, plain] of match[2]!.matchAll(
    /([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/gi,
  )) {
    parameters[name!.toLowerCase()] = quoted === undefined ? plain! : quoted.replace(/\\(.)/g, '$1');
  }
  return { scheme: match[1]!.toLowerCase() as Challenge['scheme'], parameters };
}

export function basicAuthorization({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** A bearer token for `scope` from the challenge's realm (distribution token specification; OAuth for identity tokens). */
export async function fetchToken(
  challenge: Challenge,
  scope: string,
  credentials: Credentials | undefined,
  request: {
    subject: RequestSubject;
    signal: AbortSignal;
    registryUrl: string;
    insecure: boolean;
    ca?: string | undefined;
  },
): Promise<{ authorization: string; expiresAtMs: number }> {
  const { service } = challenge.parameters;
  const url = tokenServer(challenge, request);
  const common = {
    signal: request.signal,
    insecure: request.insecure,
    ...(request.ca === undefined ? {} : { ca: request.ca }),
  };
  const response = credentials?.identityToken
    ? await sendHttp({
        ...common,
        method: 'POST',
        url: url.href,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: credentials.identityToken,
          service: service ?? '',
          scope,
          client_id: 'tsbuild',
        }).toString(),
      })
    : await sendHttp({
        ...common,
        method: 'GET',
        url: withQuery(url, service, scope),
        headers: credentials ? { authorization: basicAuthorization(credentials) } : {},
      });
  if (response.status !== 200) throw await registryError(response, request.subject);
  const body = parseJson(
    await response.bytes(LIMITS.manifestBytes),
    'the answer of the token server',
  ) as Partial<Record<'token' | 'access_token' | 'expires_in', unknown>> | null;
  const token = body?.token ?? body?.access_token;
  // Anything else could not stand in a header, or would start another one.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new BuildError(
      'REGISTRY_FAILED',
      `${request.subject.what}: the token server answered without a token`,
    );
  const expiresInSec = typeof body?.expires_in === 'number' ? body.expires_in : 60;
  return { authorization: `Bearer ${token}`, expiresAtMs: Date.now() + (expiresInSec - 10) * 1000 };
}

/** @throws REGISTRY_FAILED where there is none, or where credentials would leave TLS */
function tokenServer(
  challenge: Challenge,
  request: { subject: RequestSubject; registryUrl: string; insecure: boolean },
): URL {
  const { realm } = challenge.parameters;
  const { what } = request.subject;
  if (!realm || !/^https?:\/\//i.test(realm) || !URL.canParse(realm))
    throw new BuildError('REGISTRY_FAILED', `${what}: the registry asks for a token and does not say where`);
  const url = new URL(realm);
  if (url.protocol === 'http:' && !request.insecure && new URL(request.registryUrl).protocol === 'https:')
    throw new BuildError(
      'REGISTRY_FAILED',
      `${what}: the registry names the token server "${url.host}" without TLS, which gets no credentials`,
    );
  url.username = url.password = '';
  return url;
}

function withQuery(url: URL, service: string | undefined, scope: string): string {
  const query = new URL(url);
  if (service) query.searchParams.set('service', service);
  for (const one of scope.split(' ')) query.searchParams.append('scope', one);
  return query.href;
}
