import { BuildError, type ErrorCode } from '../../errors.js';
import { RetryableError, retryAfterMs } from './retry.js';
import type { HttpResponse } from './transport.js';

const ERROR_BYTES = 64 * 1024;

/** What was asked, for messages: `image "127.0.0.1:5000/x:1"`. */
export interface RequestSubject {
  readonly what: string;
  readonly domain: string;
  /** Where the credentials came from, where some were sent. */
  readonly credentials: string | undefined;
}

/** The error for an answer that is none: the spec's codes first, then the status (distribution-spec, "Error Codes"). */
export async function registryError(response: HttpResponse, subject: RequestSubject): Promise<BuildError> {
  const body = await response.bytes(ERROR_BYTES).catch(() => Buffer.alloc(0));
  const { code, message } = firstError(body);
  const { status } = response;
  const detail = [message, code && `(${code})`].filter(Boolean).join(' ') || `HTTP status ${status}`;
  if (status === 401) return unauthorized(subject, detail);
  if (status === 403) {
    return new BuildError(
      'REGISTRY_DENIED',
      `${subject.what}: access denied by "${subject.domain}": ${detail}`,
      { hint: loginHint(subject) },
    );
  }
  if (status === 404) {
    return new BuildError('REGISTRY_NOT_FOUND', `${subject.what} is not in the registry: ${detail}`, {
      hint: 'check the name and the tag',
    });
  }
  const temporary = status === 408 || status === 429 || status >= 500;
  const errorCode: ErrorCode = 'REGISTRY_FAILED';
  const error = new BuildError(
    errorCode,
    `${subject.what}: the registry "${subject.domain}" answered ${status}: ${detail}`,
    {
      hint: status === 429 ? 'the registry limits requests; log in or wait' : undefined,
      temporary,
    },
  );
  return temporary ? new RetryableError(error, retryAfterMs(response.header('retry-after'))) : error;
}

export function unauthorized(subject: RequestSubject, detail: string): BuildError {
  const why = subject.credentials
    ? `the credentials from ${subject.credentials} are refused`
    : 'it needs a login';
  return new BuildError(
    'REGISTRY_UNAUTHORIZED',
    `${subject.what}: unauthorized by "${subject.domain}", ${why}: ${detail}`,
    { hint: loginHint(subject) },
  );
}

function loginHint(subject: RequestSubject): string {
  const host = subject.domain === 'docker.io' ? '' : ` ${subject.domain}`;
  return `log in with docker login${host}, which writes the config.json that tsbuild reads`;
}

const LONGEST_SAYING = 500;

/** What a registry says is shown, not trusted: text, and not too much of it. */
function short<K extends string>(key: K, value: unknown): { [P in K]?: string } {
  return typeof value === 'string' && value !== ''
    ? ({ [key]: value.slice(0, LONGEST_SAYING) } as { [P in K]?: string })
    : {};
}

function firstError(body: Buffer): { code?: string; message?: string } {
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as {
      errors?: { code?: unknown; message?: unknown }[];
    };
    const { code, message } = errors?.[0] ?? {};
    return { ...short('code', code), ...short('message', message) };
  } catch {
    return {};
  }
}
