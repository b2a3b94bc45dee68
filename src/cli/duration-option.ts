import { BuildError } from '../errors.js';
import { parseDurationNs } from '../frontend/commands/duration.js';

/** `90s`, `10m`, `1h30m`; a number alone is seconds. Milliseconds, longer than none. @throws USAGE */
export function parseDuration(flag: string, text: string): number {
  const durationMs = (parseDurationNs(/^\d+$/.test(text) ? `${text}s` : text) ?? 0) / 1e6;
  // Node's timers hold 31 bits.
  if (durationMs >= 1 && durationMs < 2 ** 31) return Math.round(durationMs);
  throw new BuildError('USAGE', `${flag} "${text}" is not a duration`, {
    hint: 'write it as 90s, 10m or 1h30m; the longest is 24 days',
  });
}
