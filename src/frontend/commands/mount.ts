import { nearestName } from '../../errors.js';
import type { ParsedInstruction } from '../instruction-line.js';
import { invalid, refuseVariable } from './flags.js';

const COMMON = ['type', 'target', 'dst', 'destination', 'ro', 'readonly', 'rw', 'readwrite'];
const KEYS: Readonly<Record<string, readonly string[]>> = {
  bind: [...COMMON, 'source', 'src', 'from'],
  cache: [...COMMON, 'id', 'sharing', 'from', 'source', 'src', 'mode', 'uid', 'gid'],
  tmpfs: [...COMMON, 'size'],
  secret: [...COMMON, 'id', 'source', 'src', 'required', 'mode', 'uid', 'gid', 'env'],
  ssh: [...COMMON, 'id', 'required', 'mode', 'uid', 'gid'],
};

/** Switches: alone they stand for `true`. */
const SWITCHES = new Set(['ro', 'readonly', 'rw', 'readwrite', 'required']);

/**
 * The fields of `RUN --mount`: CSV, keys in lower case. Values may hold variables, but for `from`.
 * @throws INVALID_VALUE for an unknown type or key
 */
export function parseMount(instruction: ParsedInstruction, text: string): [string, string][] {
  const fields = splitCsv(text).map((field): [string, string] => {
    const equals = field.indexOf('=');
    if (equals < 0) return [switchKey(instruction, field), 'true'];
    return [field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1)];
  });
  const from = fields.find(([key]) => key === 'from')?.[1];
  if (from !== undefined) refuseVariable(instruction, 'from', from);
  const type = fields.find(([key]) => key === 'type')?.[1].toLowerCase() ?? 'bind';
  // A type that a variable gives is known only when the stage is converted.
  if (type.includes('$')) return fields;
  const known = Object.hasOwn(KEYS, type) ? KEYS[type] : undefined;
  if (!known) {
    const nearest = nearestName(type, Object.keys(KEYS));
    throw invalid(
      instruction,
      `unsupported mount type "${type}"`,
      nearest ? `did you mean "${nearest}"?` : `the types are ${Object.keys(KEYS).join(', ')}`,
    );
  }
  for (const [key] of fields) {
    if (known.includes(key)) continue;
    const nearest = nearestName(key, known);
    throw invalid(
      instruction,
      `unexpected key "${key}" of a ${type} mount`,
      nearest ? `did you mean "${nearest}"?` : `it knows ${known.join(', ')}`,
    );
  }
  return fields;
}

function switchKey(instruction: ParsedInstruction, field: string): string {
  const key = field.trim().toLowerCase();
  if (SWITCHES.has(key)) return key;
  throw invalid(instruction, `invalid field "${field}" of --mount: it lacks a value`, `write ${key}=VALUE`);
}

/** Fields with commas are in double quotes. */
function splitCsv(text: string): string[] {
  const fields = text.match(/(?:"(?:[^"]|"")*"|[^,"]|"(?=[^"]*$))+/g) ?? [];
  return fields.map((field) =>
    field.startsWith('"') && field.endsWith('"') && field.length > 1
      ? field.slice(1, -1).replaceAll('""', '"')
      : field,
  );
}
