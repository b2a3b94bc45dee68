import { isList, isObject, kindOf, textOf, type Value } from './value.js';

/** `type=registry,ref=x` or the same as an object: what `cache-from`, `output` and their like list. Keys as written. */
export type Entry = Readonly<Record<string, string | boolean | readonly string[]>>;

export type EntryKind = 'attest' | 'cache' | 'output' | 'secret' | 'ssh';

/** Fields of one line of CSV. */
function csvFields(text: string): string[] {
  return [...text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain! : quoted.replaceAll('""', '"'),
  );
}

/** Entries of a text; errors are plain, the caller knows the place. */
export function parseEntries(kind: EntryKind, text: string): Entry[] {
  if (text === '') return [];
  const fields = csvFields(text);
  if (kind === 'cache' && !text.includes('=')) return fields.map((ref) => ({ type: 'registry', ref }));
  if (kind === 'ssh') return [parseSsh(text)];
  if (kind === 'output' && fields.length === 1 && !text.startsWith('type='))
    return [{ type: text === '-' ? 'tar' : 'local', dest: text }];
  const entry: Record<string, string> = {};
  for (const field of fields) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new Error(`"${field}" is not KEY=VALUE`);
    entry[field.slice(0, equals).trim().toLowerCase()] = field.slice(equals + 1);
  }
  return [checkEntry(kind, entry)];
}

function parseSsh(text: string): Entry {
  const equals = text.indexOf('=');
  if (equals < 0) return { id: text };
  return { id: text.slice(0, equals), paths: text.slice(equals + 1).split(',') };
}

function checkEntry(kind: EntryKind, entry: Record<string, string>): Entry {
  if (kind !== 'secret') {
    if (!entry['type']) throw new Error('it has no type, such as type=local');
    if (kind !== 'attest' || entry['disabled'] === undefined) return entry;
    const { disabled, ...rest } = entry;
    return ['true', '1', 't'].includes(disabled.toLowerCase()) ? { ...rest, disabled: true } : rest;
  }
  const { id, src, source, env, type, ...others } = entry;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) throw new Error(`"${unknown}" is no key of a secret`);
  const file = src ?? source;
  if (type === 'env' && env === undefined) return { ...(id ? { id } : {}), ...(file ? { env: file } : {}) };
  return { ...(id ? { id } : {}), ...(file ? { src: file } : {}), ...(env ? { env } : {}) };
}

/** Entries of a value of a bake file: a text or an object. */
export function entriesOf(kind: EntryKind, value: Value): Entry[] {
  if (typeof value === 'string') return parseEntries(kind, value);
  if (!isObject(value)) throw new Error(`it is a text or an object, not ${kindOf(value)}`);
  const entry: Record<string, string | string[]> = {};
  for (const [key, part] of value) {
    if (part === null) continue;
    const text = textOf(part);
    if (text !== undefined) entry[key] = text;
    else if (kind === 'ssh' && key === 'paths' && isList(part))
      entry[key] = part.map((item) => textOf(item) ?? '');
    else throw new Error(`"${key}" is a text, not ${kindOf(part)}`);
  }
  if (kind === 'ssh') return [entry];
  return [checkEntry(kind, entry as Record<string, string>)];
}

function isSame(a: Entry, b: Entry): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => String(a[key]) === String(b[key]));
}

/** Without entries that are there twice, in the order that buildx gives them. */
export function withoutDoubles(kind: EntryKind, entries: readonly Entry[]): Entry[] {
  if (kind === 'attest') return [...new Map(entries.map((entry) => [entry['type'], entry])).values()];
  const kept = [...entries];
  for (let i = kept.length - 2; i >= 0; i--) {
    const double = kept.findIndex((entry, j) => j > i && isSame(entry, kept[i]!));
    if (double < 0) continue;
    kept[double] = kept.at(-1)!;
    kept.pop();
  }
  return kept;
}
