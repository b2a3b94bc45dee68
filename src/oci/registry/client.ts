import { createHash } from 'node:crypto';
import { BuildError, throwIfAborted } from '../../errors.js';
import { type Descriptor, MEDIA_TYPES } from '../descriptor.js';
import { type Digest, digestAlgorithm, digestHex, digestOf, matchesDigest } from '../digest.js';
import { LIMITS } from '../limits.js';
import { familiarReference, type Reference } from '../reference.js';
import { basicAuthorization, fetchToken, parseChallenge } from './auth.js';
import { type Credentials, findCredentials } from './credentials.js';
import { endpointsOf, type RegistryEndpoint, type RegistrySettings } from './hosts.js';
import { isSameOrigin, redirectTarget } from './redirect.js';
import { registryError, type RequestSubject, unauthorized } from './registry-error.js';
import { RetryableError, withRetries } from './retry.js';
import { type HttpRequest, type HttpResponse, sendHttp } from './transport.js';

export interface RegistryClientOptions {
  readonly registries: Readonly<Record<string, RegistrySettings>>;
  /** Default: Docker's config.json and its helpers. */
  readonly credentials?: (domain: string) => Promise<Credentials | undefined>;
}

export interface RemoteManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

const MOST_REDIRECTS = 5;
/** Less than this, and a broken connection counts as one that brought nothing. */
const PROGRESS_BYTES = 64 * 1024;
const ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.dockerManifest,
].join(', ');

type Action = 'pull' | 'pull,push';

/** What one call needs of a request; the rest is filled in by the client. */
interface Call {
  readonly domain: string;
  readonly repository: string;
  readonly path: string;
  readonly method: HttpRequest['method'];
  readonly action: Action;
  readonly what: string;
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpRequest['body'];
  /** A right beyond the one that `action` needs. */
  readonly extraScope?: string;
}

/**
 * Talks the OCI distribution protocol. Tries mirrors before the registry itself for reads; retries what is temporary;
 * keeps tokens; sends credentials to the registry's own host and its token server only, never along a redirect. Every
 * digest and size is verified.
 */
export class RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #credentials = new Map<string, Promise<Credentials | undefined>>();
  readonly #authorizations = new Map<string, { authorization: string; expiresAtMs: number }>();
  /** Base URLs that answered, by endpoint. */
  readonly #working = new Map<string, string>();

  constructor(options: RegistryClientOptions) {
    this.#options = options;
  }

  /** A manifest or index by tag or digest, verified. @throws REGISTRY_*, MANIFEST_INVALID */
  async getManifest(reference: Reference, signal: AbortSignal): Promise<RemoteManifest> {
    const target = reference.digest ?? reference.tag!;
    const what = `image "${familiarReference(reference)}"`;
    return withRetries(signal, async () => {
      const response = await this.#read({
        ...reference,
        path: `manifests/${target}`,
        method: 'GET',
        what,
        signal,
        headers: { accept: ACCEPT },
      });
      const bytes = await response.bytes(LIMITS.manifestBytes);
      const digest = digestOf(bytes);
      if (reference.digest !== undefined && !(await matchesDigest(bytes, reference.digest))) {
        throw new BuildError(
          'MANIFEST_INVALID',
          `${what}: the registry's manifest has the digest ${digest}`,
          { hint: 'the registry or a mirror holds damaged data' },
        );
      }
      const mediaType = response.header('content-type')?.split(';')[0]?.trim() ?? MEDIA_TYPES.ociManifest;
      return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
    });
  }

  /**
   * A blob's bytes; a broken connection is resumed where it ended. @throws BLOB_CORRUPT when size or digest differ
   * @param reference its domain and repository
   */
  async *fetchBlob(
    reference: Reference,
    descriptor: Descriptor,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array> {
    const hash = createHash(digestAlgorithm(descriptor.digest));
    let received = 0;
    let failures = 0;
    while (received < descriptor.size || descriptor.size === 0) {
      const before = received;
      try {
        const response = await withRetries(signal, () =>
          this.#openBlob(reference, descriptor, received, signal),
        );
        for await (const chunk of response.body) {
          throwIfAborted(signal);
          received += chunk.length;
          if (received > descriptor.size)
            throw corrupt(descriptor, `it is longer than ${descriptor.size} bytes`);
          hash.update(chunk);
          yield chunk;
        }
        if (descriptor.size === 0) break;
        if (received < descriptor.size)
          throw new Error(`the connection ended after ${received} of ${descriptor.size} bytes`);
      } catch (error) {
        throwIfAborted(signal);
        if (error instanceof BuildError && !error.temporary) throw error;
        failures = received - before >= PROGRESS_BYTES ? 0 : failures + 1;
        if (failures >= 3) throw corrupt(descriptor, (error as Error).message, error);
      }
    }
    if (hash.digest('hex') !== digestHex(descriptor.digest))
      throw corrupt(descriptor, 'its bytes have another digest');
  }

  async #openBlob(
    reference: Reference,
    descriptor: Descriptor,
    offset: number,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const what = `layer ${descriptor.digest} of "${reference.domain}/${reference.repository}"`;
    const response = await this.#read({
      ...reference,
      path: `blobs/${descriptor.digest}`,
      method: 'GET',
      what,
      signal,
      headers,
    });
    if (response.status === 206 || (offset === 0 && response.status === 200)) return response;
    await response.discard();
    throw corrupt(
      descriptor,
      response.status === 416
        ? `the registry has only ${offset} of ${descriptor.size} bytes`
        : 'the connection broke and the registry does not resume',
    );
  }

  async hasBlob(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean> {
    return withRetries(signal, async () => {
      const response = await this.#call(
        {
          ...reference,
          path: `blobs/${digest}`,
          method: 'HEAD',
          action: 'pull,push',
          what: `blob ${digest}`,
          signal,
        },
        [200, 404],
      );
      await response.discard();
      return response.status === 200;
    });
  }

  async hasManifest(reference: Reference, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const response = await this.#call(
      {
        ...reference,
        path: `manifests/${digest}`,
        method: 'HEAD',
        action: 'pull,push',
        what: `manifest ${digest}`,
        signal,
        headers: { accept: ACCEPT },
      },
      [200, 404],
    );
    await response.discard();
    return response.status === 200;
  }

  /** Uploads a blob: opens an upload, then sends it in one PUT. `open` is asked again for a retry. */
  async pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    open: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const call = { ...reference, action: 'pull,push' as const, what: `blob ${descriptor.digest}`, signal };
    await withRetries(signal, async () => {
      const started = await this.#call(
        { ...call, path: 'blobs/uploads/', method: 'POST', headers: { 'content-length': '0' } },
        [202],
      );
      await started.discard();
      const location = started.header('location');
      if (!location) throw new BuildError('REGISTRY_FAILED', `${call.what}: the registry opened no upload`);
      const url = new URL(redirectTarget(location, started.url, call.what));
      url.searchParams.set('digest', descriptor.digest);
      const headers = {
        'content-type': 'application/octet-stream',
        'content-length': String(descriptor.size),
      };
      const finished = await this.#call(
        { ...call, path: url.href, method: 'PUT', headers, body: open() },
        [201],
      );
      await finished.discard();
    });
  }

  /**
   * Takes a blob over from another repository of the same registry, without sending it. False where the registry does not:
   * it lacks the blob there, or the credentials may not read it.
   */
  async mountBlob(reference: Reference, digest: Digest, from: string, signal: AbortSignal): Promise<boolean> {
    try {
      const response = await this.#call(
        {
          ...reference,
          path: `blobs/uploads/?${new URLSearchParams({ mount: digest, from }).toString()}`,
          method: 'POST',
          action: 'pull,push',
          what: `blob ${digest}`,
          signal,
          headers: { 'content-length': '0' },
          extraScope: `repository:${from}:pull`,
        },
        [201, 202],
      );
      await response.discard();
      return response.status === 201;
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof BuildError) return false;
      throw error;
    }
  }

  async pushManifest(
    reference: Reference,
    target: string,
    mediaType: string,
    bytes: Buffer,
    signal: AbortSignal,
  ): Promise<void> {
    await withRetries(signal, async () => {
      const response = await this.#call(
        {
          ...reference,
          path: `manifests/${target}`,
          method: 'PUT',
          action: 'pull,push',
          what: `image "${familiarReference(reference)}"`,
          signal,
          headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
          body: bytes,
        },
        [201],
      );
      await response.discard();
    });
  }

  /** Asks mirrors first; only what the registry itself says is an error. */
  async #read(call: Omit<Call, 'action'>): Promise<HttpResponse> {
    const endpoints = endpointsOf(call.domain, this.#options.registries[call.domain]);
    for (const endpoint of endpoints) {
      try {
        return await this.#request({ ...call, action: 'pull' }, endpoint, [200, 206, 416]);
      } catch (error) {
        throwIfAborted(call.signal);
        if (!endpoint.isMirror) throw error;
      }
    }
    throw new BuildError('INTERNAL', `no endpoint for "${call.domain}"`);
  }

  #call(call: Call, accepted: readonly number[]): Promise<HttpResponse> {
    const own = endpointsOf(call.domain, this.#options.registries[call.domain]).at(-1)!;
    return this.#request(call, own, accepted);
  }

  async #request(call: Call, endpoint: RegistryEndpoint, accepted: readonly number[]): Promise<HttpResponse> {
    const key = endpoint.urls.join(' ');
    const working = this.#working.get(key);
    const bases = working ? [working] : endpoint.urls;
    let failure: unknown;
    for (const base of bases) {
      try {
        const response = await this.#authorized(call, base, endpoint, accepted);
        this.#working.set(key, base);
        return response;
      } catch (error) {
        throwIfAborted(call.signal);
        if (!(error instanceof BuildError) || error.code !== 'REGISTRY_UNREACHABLE') throw error;
        failure ??= error;
      }
    }
    throw failure;
  }

  /** Sends, and again with credentials when the registry asks for them. */
  async #authorized(
    call: Call,
    base: string,
    endpoint: RegistryEndpoint,
    accepted: readonly number[],
  ): Promise<HttpResponse> {
    const host = new URL(base).host;
    const domain = endpoint.isMirror ? host : call.domain;
    const own = `repository:${call.repository}:${call.action}`;
    const scope = call.extraScope ? `${own} ${call.extraScope}` : own;
    const tokenKey = `${host} ${scope}`;
    const url = /^https?:\/\//.test(call.path) ? call.path : `${base}/v2/${call.repository}/${call.path}`;
    const known = this.#authorizations.get(tokenKey);
    const first = await this.#send(
      call,
      { url, base },
      endpoint,
      known && known.expiresAtMs > Date.now() ? known.authorization : undefined,
    );
    const credentials = first.status === 401 ? await this.#credentialsOf(domain) : undefined;
    const subject: RequestSubject = { what: call.what, domain, credentials: credentials?.origin };
    if (first.status !== 401) return this.#checked(first, accepted, subject);
    // Only the registry itself may ask for credentials: not where it redirects to, nor where it lets upload.
    const challenge = isSameOrigin(first.url, base)
      ? parseChallenge(first.header('www-authenticate'))
      : undefined;
    if (!challenge) throw await registryError(first, subject);
    await first.discard();
    if (challenge.scheme === 'basic' && !credentials) throw unauthorized(subject, 'authentication required');
    const granted =
      challenge.scheme === 'basic'
        ? { authorization: basicAuthorization(credentials!), expiresAtMs: Infinity }
        : await fetchToken(challenge, scope, credentials, {
            subject,
            signal: call.signal,
            registryUrl: base,
            insecure: endpoint.insecure,
            ca: endpoint.ca,
          });
    if (call.body !== undefined && Symbol.asyncIterator in Object(call.body)) {
      // The body is used up; the caller opens it again with the authorization at hand.
      this.#authorizations.set(tokenKey, granted);
      throw new RetryableError(
        new BuildError('REGISTRY_FAILED', `${call.what}: the registry asks for a new token`),
        0,
      );
    }
    const second = await this.#send(call, { url, base }, endpoint, granted.authorization);
    if (second.status !== 401) this.#authorizations.set(tokenKey, granted);
    return this.#checked(second, accepted, subject);
  }

  async #checked(
    response: HttpResponse,
    accepted: readonly number[],
    subject: RequestSubject,
  ): Promise<HttpResponse> {
    if (accepted.includes(response.status)) return response;
    throw await registryError(response, subject);
  }

  /** Follows redirects of what has no body; the authorization is for the registry alone. */
  async #send(
    call: Call,
    { url, base }: { readonly url: string; readonly base: string },
    endpoint: RegistryEndpoint,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    let target = url;
    for (let redirects = 0; ; redirects++) {
      const response = await sendHttp({
        method: call.method,
        url: target,
        headers: {
          ...call.headers,
          ...(authorization && isSameOrigin(target, base) ? { authorization } : {}),
        },
        signal: call.signal,
        insecure: endpoint.insecure,
        ...(endpoint.ca === undefined ? {} : { ca: endpoint.ca }),
        ...(call.body === undefined ? {} : { body: call.body }),
      });
      const location = response.header('location');
      const isRedirect = [301, 302, 303, 307, 308].includes(response.status);
      if (!isRedirect || !location || call.body !== undefined) return response;
      await response.discard();
      if (redirects >= MOST_REDIRECTS)
        throw new BuildError('REGISTRY_FAILED', `${call.what}: more than ${MOST_REDIRECTS} redirects`);
      target = redirectTarget(location, target, call.what);
    }
  }

  #credentialsOf(domain: string): Promise<Credentials | undefined> {
    let credentials = this.#credentials.get(domain);
    if (!credentials) {
      credentials = (this.#options.credentials ?? findCredentials)(domain);
      this.#credentials.set(domain, credentials);
    }
    return credentials;
  }
}

function corrupt(descriptor: Descriptor, why: string, cause?: unknown): BuildError {
  return new BuildError('BLOB_CORRUPT', `blob ${descriptor.digest} from the registry is damaged: ${why}`, {
    cause,
    hint: 'push the image again, or use another mirror or tag; nothing of it was kept',
  });
}
