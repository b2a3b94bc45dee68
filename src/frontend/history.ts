import type { Healthcheck, HistoryEntry } from '../oci/image-config.js';
import { formatDurationNs } from './commands/duration.js';

/** A history entry as BuildKit writes it; the times come with the layers. */
export function historyEntry(createdBy: string, hasLayer: boolean): HistoryEntry {
  return {
    created_by: createdBy,
    comment: 'buildkit.dockerfile.v0',
    ...(hasLayer ? {} : { empty_layer: true }),
  };
}

/** Go's `%q` of a list of strings: `["a" "b"]`. */
export function quotedList(items: readonly string[]): string {
  return `[${items.map(goQuote).join(' ')}]`;
}

/** `RUN |2 A=1 B=2 /bin/sh -c …`: the ARGs in scope with their values come first. */
export function runText(args: readonly string[], buildArgs: readonly string[]): string {
  const prefix = buildArgs.length === 0 ? [] : [`|${buildArgs.length}`, ...buildArgs];
  return `RUN ${[...prefix, ...args].join(' ')} # buildkit`;
}

/** Go's `%q` of a pointer to the config's record. */
export function healthcheckText(healthcheck: Healthcheck): string {
  const duration = (value: number | undefined) => `"${formatDurationNs(value ?? 0)}"`;
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = healthcheck;
  const retries = goQuoteRune(Retries ?? 0);
  return `HEALTHCHECK &{${quotedList(Test ?? [])} ${duration(Interval)} ${duration(Timeout)} ${duration(StartPeriod)} ${duration(StartInterval)} ${retries}}`;
}

function goQuote(text: string): string {
  const escapes: Record<string, string> = {
    '\n': '\\n',
    '\t': '\\t',
    '\r': '\\r',
    '\v': '\\v',
    '\f': '\\f',
    '\b': '\\b',
    '\x07': '\\a',
  };
  const quoted = text.replace(/["\\]/g, '\\$&').replace(/[\n\t\r\v\f\b\x07]/g, (char) => escapes[char]!);
  return `"${quoted.replace(/[\x00-\x1f\x7f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
}

function goQuoteRune(value: number): string {
  const escapes: Record<number, string> = {
    7: '\\a',
    8: '\\b',
    9: '\\t',
    10: '\\n',
    11: '\\v',
    12: '\\f',
    13: '\\r',
    39: "\\'",
    92: '\\\\',
  };
  if (escapes[value]) return `'${escapes[value]}'`;
  return value < 0x20 ? `'\\x${value.toString(16).padStart(2, '0')}'` : `'${String.fromCodePoint(value)}'`;
}
