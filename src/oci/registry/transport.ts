import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { BuildError, throwIfAborted } from '../../errors.js';
import { loadDispatchers } from './dispatchers.js';
import { steady } from './steady.js';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  readonly insecure?: boolean;
  readonly ca?: string;
}

export interface HttpResponse {
  readonly url: string;
  readonly status: number;
  header(name: string): string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /** The whole body; at most `limitBytes`. */
  bytes(limitBytes: number): Promise<Buffer>;
  /** Throws the body away. */
  discard(): Promise<void>;
}

const IDLE_MS = 60_000;
const CONNECT_MS = 15_000;
const DISCARDED_BYTES = 64 * 1024;
const DISCARD_MS = 2_000;
const agents = new Map<string, Promise<Dispatcher>>();

/**
 * One request, no redirects, no retries.
 * @throws REGISTRY_UNREACHABLE (temporary) when no answer comes; the signal's reason when aborted
 */
export async function sendHttp(request: HttpRequest): Promise<HttpResponse> {
  throwIfAborted(request.signal);
  const dispatcher = await agentFor(request);
  const { origin, host, pathname, search } = new URL(request.url);
  try {
    const answer = await dispatcher.request({
      origin,
      path: pathname + search,
      method: request.method,
      headers: { 'user-agent': 'tsbuild', ...request.headers },
      body: (request.body ?? null) as never,
      signal: request.signal,
    });
    const body = steady(answer.body as AsyncIterable<Uint8Array>, host);
    const header = (name: string) => {
      const value = answer.headers[name];
      return Array.isArray(value) ? value[0] : value;
    };
    return {
      url: request.url,
      status: answer.statusCode,
      header,
      body,
      bytes: async (limitBytes) =>
        readLimited(body, { limitBytes, announced: header('content-length'), url: request.url }),
      discard: async () => discard(answer.body),
    };
  } catch (error) {
    throwIfAborted(request.signal);
    throw unreachable(request.url, error);
  }
}

export function unreachable(url: string, cause: unknown): BuildError {
  const host = new URL(url).host;
  const error = cause as NodeJS.ErrnoException & { errors?: readonly Error[] };
  const code = error.code ?? '';
  const why = error.message || error.errors?.[0]?.message || code;
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code);
  const hint = certificate
    ? `name the authority's file in the config: registries: { "${host}": { ca: FILE } }`
    : code === 'ENOTFOUND' || code === 'EAI_AGAIN'
      ? 'check the host name and the network'
      : 'check that the registry runs and that this machine may reach it';
  return new BuildError('REGISTRY_UNREACHABLE', `the registry "${host}" cannot be reached: ${why}`, {
    cause,
    hint,
    temporary: !certificate && code !== 'ENOTFOUND',
  });
}

function agentFor({ insecure = false, ca }: HttpRequest): Promise<Dispatcher> {
  const key = `${insecure} ${ca ?? ''}`;
  let agent = agents.get(key);
  if (!agent) {
    agent = createAgent(insecure, ca);
    agents.set(key, agent);
  }
  return agent;
}

/** Proxies come from HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Own authorities come beside the usual ones. */
async function createAgent(insecure: boolean, caFile: string | undefined): Promise<Dispatcher> {
  const undici = await loadDispatchers();
  const extra = [caFile, process.env['TSBUILD_EXTRA_CA_CERTS']].flatMap((file) =>
    file ? readCertificates(file, file === caFile) : [],
  );
  const connect = {
    timeout: CONNECT_MS,
    rejectUnauthorized: !insecure,
    ...(extra.length === 0 ? {} : { ca: [...rootCertificates, ...extra] }),
  };
  const options = { connect, bodyTimeout: IDLE_MS, headersTimeout: IDLE_MS, keepAliveTimeout: 1000 };
  const env = process.env;
  const hasProxy = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'].some((name) => env[name]);
  return hasProxy
    ? new undici.EnvHttpProxyAgent({ ...options, requestTls: connect } as never)
    : new undici.Agent(options);
}

function readCertificates(file: string, isRequired: boolean): string[] {
  try {
    return [readFileSync(file, 'utf8')];
  } catch (error) {
    if (!isRequired) return [];
    throw new BuildError(
      'CONFIG_INVALID',
      `the certificates "${file}" cannot be read: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** A short rest is read, so that the connection serves again; a long or slow one costs the connection. */
async function discard(body: {
  dump(options: { limit: number; signal: AbortSignal }): Promise<void>;
}): Promise<void> {
  await body.dump({ limit: DISCARDED_BYTES, signal: AbortSignal.timeout(DISCARD_MS) }).catch(() => undefined);
}

async function readLimited(
  body: AsyncIterable<Uint8Array>,
  { limitBytes, announced, url }: { limitBytes: number; announced: string | undefined; url: string },
): Promise<Buffer> {
  const tooLong = () =>
    new BuildError('REGISTRY_FAILED', `"${new URL(url).host}" answers with more than ${limitBytes} bytes`, {
      hint: 'a manifest, config or token is far smaller; the server is broken or hostile',
    });
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += chunk.length;
      // What Content-Length announces is not waited for; what it hides is counted.
      if (size > limitBytes || Number(announced) > limitBytes) throw tooLong();
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof BuildError ? error : unreachable(url, error);
  }
  return Buffer.concat(chunks);
}
