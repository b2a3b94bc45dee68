import { BuildError } from '../../errors.js';
import { RetryableError, retryAfterMs, withRetries } from '../../oci/registry/retry.js';
import { type HttpRequest, type HttpResponse, sendHttp } from '../../oci/registry/transport.js';

const MESSAGE_BYTES = 64 * 1024;

/** A request to a cache service. `prepare` is asked before each attempt: for a body, and for headers that age. */
export interface CacheRequest {
  /** For messages: `s3://bucket/prefix`. No credentials. */
  readonly place: string;
  readonly prepare: () => Omit<HttpRequest, 'signal'>;
  readonly accepted: readonly number[];
  readonly signal: AbortSignal;
}

/** Sends, and again while the service is busy or away. @throws CACHE_FAILED; neither URLs nor headers are in the message */
export async function requestCache(request: CacheRequest): Promise<HttpResponse> {
  const { place, prepare, accepted, signal } = request;
  return withRetries(signal, async () => {
    const response = await sendHttp({ ...prepare(), signal }).catch((error: unknown) => {
      if (!(error instanceof BuildError)) throw error;
      const { hint, temporary } = error;
      const why = error.message.replace(/^the registry "[^"]*" /, '');
      throw new BuildError('CACHE_FAILED', `${place} ${why}`, { hint, temporary, cause: error.cause });
    });
    if (accepted.includes(response.status)) return response;
    throw await failure(place, response);
  });
}

async function failure(place: string, response: HttpResponse): Promise<BuildError> {
  const { status } = response;
  const body = (await response.bytes(MESSAGE_BYTES).catch(() => Buffer.alloc(0))).toString('utf8');
  const why = reason(body);
  const error = new BuildError('CACHE_FAILED', `${place} answered ${status}${why ? `: ${why}` : ''}`, {
    hint: status === 401 || status === 403 ? 'check the credentials and what they may do' : undefined,
    temporary: status === 408 || status === 429 || status >= 500,
  });
  return error.temporary ? new RetryableError(error, retryAfterMs(response.header('retry-after'))) : error;
}

/** What a body of XML or JSON says went wrong. */
function reason(body: string): string {
  const code = /<Code>([^<]{1,100})<\/Code>/.exec(body)?.[1];
  const text =
    /<Message>([^<]{1,300})<\/Message>/.exec(body)?.[1] ??
    /"m(?:essage|sg)":\s*"([^"]{1,300})"/.exec(body)?.[1];
  return [text, code && `(${code})`].filter(Boolean).join(' ');
}
