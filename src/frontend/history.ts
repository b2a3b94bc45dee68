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

/** Go's `%+v` of the config's record. */
export function healthcheckText(healthcheck: Healthcheck): string {
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = healthcheck;
  const fields = {
    Test: `[${(Test ?? []).join(' ')}]`,
    Interval: formatDurationNs(Interval ?? 0),
    Timeout: formatDurationNs(Timeout ?? 0),
    StartPeriod: formatDurationNs(StartPeriod ?? 0),
    StartInterval: formatDurationNs(StartInterval ?? 0),
    Retries: String(Retries ?? 0),
  };
  const pairs = Object.entries(fields).map(([name, value]) => `${name}:${value}`);
  return `HEALTHCHECK {${pairs.join(' ')}}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\t': '\\t',
  '\r': '\\r',
  '\v': '\\v',
  '\f': '\\f',
  '\b': '\\b',
  '\x07': '\\a',
};

/** What Go does not call printable is escaped; of blanks only the ASCII one is. */
function goQuote(text: string): string {
  const quoted = text.replace(
    /["\\]|[^ \p{L}\p{M}\p{N}\p{P}\p{S}]/gu,
    (char) => ESCAPES[char] ?? goEscape(char),
  );
  return `"${quoted}"`;
}

function goEscape(char: string): string {
  const code = char.codePointAt(0)!;
  const hex = code.toString(16);
  if (code < 0x80) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
