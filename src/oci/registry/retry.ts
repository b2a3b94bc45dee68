import { setTimeout as delay } from 'node:timers/promises';
import { BuildError, throwIfAborted } from '../../errors.js';

const MOST_ATTEMPTS = 5;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 20_000;

/** An error that names the time after which the server wants to be asked again. */
export class RetryableError extends BuildError {
  readonly retryAfterMs: number | undefined;

  constructor(error: BuildError, retryAfterMs: number | undefined) {
    super(error.code, error.message, { cause: error.cause, hint: error.hint, temporary: true });
    this.retryAfterMs = retryAfterMs;
  }
}

/** Runs `attempt` again while its error is temporary: at most five times, waiting longer each time, or as the server says. */
export async function withRetries<T>(
  signal: AbortSignal,
  attempt: (number: number) => Promise<T>,
): Promise<T> {
  for (let number = 1; ; number++) {
    try {
      return await attempt(number);
    } catch (error) {
      throwIfAborted(signal);
      if (!(error instanceof BuildError) || !error.temporary || number >= MOST_ATTEMPTS) throw error;
      const backoffMs = FIRST_WAIT_MS * 2 ** (number - 1) * (0.75 + Math.random() / 2);
      const waitMs = (error instanceof RetryableError ? error.retryAfterMs : undefined) ?? backoffMs;
      await delay(Math.min(waitMs, LONGEST_WAIT_MS), undefined, { signal }).catch((reason: unknown) => {
        throwIfAborted(signal);
        throw reason;
      });
    }
  }
}

/** Retry-After: seconds, or an HTTP date. */
export function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
