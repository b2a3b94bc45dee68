import { BuildError, nearestName } from '../../errors.js';
import type { ParsedInstruction } from '../instruction-line.js';

/** What a flag takes; a list may be given several times. */
export type FlagKind = 'text' | 'boolean' | 'list';

type FlagValue<K extends FlagKind> = K extends 'list'
  ? readonly string[]
  : K extends 'boolean'
    ? boolean
    : string | undefined;

/**
 * The flags of an instruction by the table of those it knows.
 * @throws UNKNOWN_FLAG with the nearest known one, INVALID_VALUE for a missing value or a second time
 */
export function readFlags<T extends Readonly<Record<string, FlagKind>>>(
  instruction: ParsedInstruction,
  table: T,
): { readonly [K in keyof T]: FlagValue<T[K]> } {
  const values: Record<string, string | boolean | string[] | undefined> = {};
  for (const [name, kind] of Object.entries(table))
    values[name] = kind === 'list' ? [] : kind === 'boolean' ? false : undefined;
  const seen = new Set<string>();
  for (const flag of instruction.flags) {
    const [, name = '', value] = /^--([^=]*)(?:=(.*))?$/s.exec(flag)!;
    const kind = Object.hasOwn(table, name) ? table[name] : undefined;
    if (kind === undefined) throw unknownFlag(instruction, name, Object.keys(table));
    if (kind !== 'list' && seen.has(name))
      throw invalid(instruction, `duplicate flag "--${name}" of ${instruction.keyword}`);
    seen.add(name);
    values[name] = flagValue(instruction, name, kind, value, values[name] as string[]);
  }
  return values as never;
}

function flagValue(
  instruction: ParsedInstruction,
  name: string,
  kind: FlagKind,
  value: string | undefined,
  list: string[],
) {
  if (kind === 'boolean') {
    const lower = value?.toLowerCase();
    if (lower === undefined || lower === 'true') return true;
    if (lower === 'false') return false;
    throw invalid(
      instruction,
      `the flag "--${name}" of ${instruction.keyword} takes true or false, not "${value}"`,
    );
  }
  if (value === undefined)
    throw invalid(
      instruction,
      `the flag "--${name}" of ${instruction.keyword} lacks a value`,
      `write --${name}=VALUE`,
    );
  return kind === 'list' ? [...list, value] : value;
}

function unknownFlag(instruction: ParsedInstruction, name: string, known: readonly string[]): BuildError {
  const nearest = nearestName(name, known);
  const hint =
    known.length === 0
      ? `${instruction.keyword} has no flags`
      : `${nearest ? `did you mean "--${nearest}"? ` : ''}${instruction.keyword} knows ${known.map((flag) => `--${flag}`).join(', ')}`;
  return new BuildError('UNKNOWN_FLAG', `unknown flag "--${name}" of ${instruction.keyword}`, {
    hint,
    location: instruction.location,
  });
}

export function invalid(instruction: ParsedInstruction, message: string, hint?: string): BuildError {
  return new BuildError('INVALID_VALUE', message, { hint, location: instruction.location });
}

export function syntax(instruction: ParsedInstruction, message: string, hint?: string): BuildError {
  return new BuildError('DOCKERFILE_SYNTAX', message, { hint, location: instruction.location });
}

/** `--from` and the like name a stage before any variable has a value. @throws INVALID_VALUE */
export function refuseVariable(instruction: ParsedInstruction, flag: string, value: string): void {
  if (!/\$./.test(value)) return;
  throw invalid(
    instruction,
    `variable expansion is not supported for ${flag}, found "${value}"`,
    `add a stage above: FROM ${value} AS source, with the ARG before the first FROM; then write ${flag}=source`,
  );
}

export function unsupported(instruction: ParsedInstruction, message: string, hint: string): BuildError {
  return new BuildError('UNSUPPORTED', message, { hint, location: instruction.location });
}
