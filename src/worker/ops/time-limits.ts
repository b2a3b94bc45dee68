import { BuildError, type SourceLocation } from '../../errors.js';
import { formatDurationNs } from '../../frontend/commands/duration.js';

/** How long the process of a RUN may take. */
export interface TimeLimits {
  readonly stepMs?: number;
  /** Without a byte of output. */
  readonly idleMs?: number;
}

/** Watches one process; `signal` aborts with the job's reason, or with TIMED_OUT when a limit is reached. */
export interface StepClock extends Disposable {
  readonly signal: AbortSignal;
  /** There was output. */
  heard(): void;
}

/** @param lastLine what the process said last, for the error */
export function startStepClock(
  { stepMs, idleMs }: TimeLimits,
  signal: AbortSignal,
  lastLine: () => string,
): StepClock {
  const expired = new AbortController();
  const start = (ms: number | undefined, what: (limit: string) => string) =>
    ms === undefined
      ? undefined
      : setTimeout(() => expired.abort(timedOut(what(formatDuration(ms)), lastLine())), ms);
  const step = start(stepMs, (limit) => `the step took longer than --step-timeout allows (${limit})`);
  const idle = start(
    idleMs,
    (limit) => `the step printed nothing for ${limit}, which --idle-timeout forbids`,
  );
  return {
    signal: step || idle ? AbortSignal.any([signal, expired.signal]) : signal,
    heard: () => void idle?.refresh(),
    [Symbol.dispose]: () => {
      clearTimeout(step);
      clearTimeout(idle);
    },
  };
}

/** @param lastLine empty where there was no output */
export function timedOut(
  message: string,
  lastLine: string,
  step?: { readonly name: string; readonly location?: SourceLocation },
): BuildError {
  const said = lastLine === '' ? 'it printed nothing' : `its last line was "${lastLine}"`;
  return new BuildError('TIMED_OUT', `${message}; ${said}`, {
    vertex: step?.name,
    location: step?.location,
    hint: 'raise the limit, or find out what it waits for; what it had started is gone',
  });
}

/** `90s` as `1m30s`. */
export function formatDuration(durationMs: number): string {
  return formatDurationNs(durationMs * 1e6);
}
