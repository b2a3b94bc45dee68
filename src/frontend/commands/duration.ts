const UNITS_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const PART = `(\\d+\\.?\\d*|\\.\\d+)(${Object.keys(UNITS_NS).join('|')})`;

/** Go's time.ParseDuration: `1h30m`, `1.5s`, `300ms`. Nanoseconds, or undefined when it is none. */
export function parseDurationNs(text: string): number | undefined {
  if (text === '0') return 0;
  const match = new RegExp(`^([+-]?)(?:${PART})+$`).exec(text);
  if (!match) return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(new RegExp(PART, 'g')))
    total += Number(number) * UNITS_NS[unit!]!;
  return Math.round(match[1] === '-' ? -total : total);
}

/** Go's Duration.String: `5m0s`, `1m30s`, `300ms`, `0s`. */
export function formatDurationNs(durationNs: number): string {
  if (durationNs === 0) return '0s';
  if (durationNs < 1e3) return `${durationNs}ns`;
  if (durationNs < 1e6) return `${durationNs / 1e3}µs`;
  if (durationNs < 1e9) return `${durationNs / 1e6}ms`;
  const seconds = (durationNs % 60e9) / 1e9;
  const minutes = Math.floor(durationNs / 60e9) % 60;
  const hours = Math.floor(durationNs / 3600e9);
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds}s`;
}
