import { BuildError, StepFailures } from './errors.js';
import type { ProgressEvent } from './progress.js';
import { redactUrls } from './secrets/redact-text.js';
import type { SecretVault } from './secrets/secret-vault.js';

/** Takes secrets and the passwords of URLs out of what a build says; the output of steps is masked where it comes in. */
export interface Redaction {
  text(value: string): string;
  event(event: ProgressEvent): ProgressEvent;
  error(error: unknown): unknown;
}

export function createRedaction(vault: SecretVault): Redaction {
  const text = (value: string) => vault.mask(redactUrls(value));
  return {
    text,
    event: (event) => {
      if (event.kind === 'announced') return { ...event, name: text(event.name) };
      if (event.kind === 'note' || event.kind === 'failed' || event.kind === 'warning')
        return { ...event, message: text(event.message) };
      return event;
    },
    error: (error) => redactError(error, text),
  };
}

/** The same error where there is nothing to take out, so that its identity stays. */
function redactError(error: unknown, text: (value: string) => string): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? text(error) : error;
  if (error instanceof StepFailures)
    return new StepFailures(error.failures.map((failure) => redactError(failure, text) as BuildError));
  const message = text(error.message);
  const cause = redactError(error.cause, text);
  if (!(error instanceof BuildError)) {
    if (message === error.message && cause === error.cause) return error;
    return Object.assign(new Error(message, { cause }), { stack: text(error.stack ?? '') });
  }
  const hint = error.hint === undefined ? undefined : text(error.hint);
  const vertex = error.vertex === undefined ? undefined : text(error.vertex);
  if (message === error.message && cause === error.cause && hint === error.hint && vertex === error.vertex)
    return error;
  const redacted = error.with({ message, cause, hint, vertex });
  redacted.stack = text(error.stack ?? '');
  return redacted;
}
