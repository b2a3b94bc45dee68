import { BuildError } from '../errors.js';
import type { ItemType, StoreItem } from './item.js';

/** `KEY=VALUE`, `KEY!=VALUE`, `KEY~=REGEXP`; several in one text with commas between. */
interface Condition {
  readonly key: string;
  readonly isMet: (item: StoreItem, nowMs: number) => boolean;
  readonly isNegated: boolean;
}

export type ItemFilter = (item: StoreItem, nowMs: number) => boolean;

const TYPES: readonly ItemType[] = [
  'layer',
  'directory',
  'copy',
  'image',
  'record',
  'mount',
  'source',
  'log',
  'stat',
  'repeat',
  'damaged',
  'failed',
  'history',
];

/**
 * Filters as those of `docker buildx prune`: values of one key are alternatives, different keys must all be met, and each
 * negation too. @throws USAGE
 */
export function parseFilters(texts: readonly string[]): ItemFilter {
  const conditions = texts.flatMap((text) => splitConditions(text)).map(parseCondition);
  const keys = [...new Set(conditions.map(({ key }) => key))];
  return (item, nowMs) =>
    keys.every((key) => {
      const own = conditions.filter((condition) => condition.key === key);
      const wanted = own.filter(({ isNegated }) => !isNegated);
      return (
        own.every((condition) => !condition.isNegated || condition.isMet(item, nowMs)) &&
        (wanted.length === 0 || wanted.some((condition) => condition.isMet(item, nowMs)))
      );
    });
}

/** A comma that no new condition follows belongs to the value. */
function splitConditions(text: string): string[] {
  return text.split(/,(?=[a-z]+(?:!=|~=|=))/);
}

function parseCondition(text: string): Condition {
  const match = /^([a-z]+)(!=|~=|=)(.*)$/s.exec(text);
  if (!match) throw wrong(text, 'write it as until=24h, type=layer, id=… or description~=…');
  const [, key, operator, value] = match as unknown as [string, string, string, string];
  const isNegated = operator === '!=';
  const textOf = textFor(key);
  if (key === 'until') {
    const ageMs = parseAge(value);
    if (operator !== '=') throw wrong(text, 'until takes "=" only');
    return { key, isNegated, isMet: (item, nowMs) => item.lastUsedMs <= nowMs - ageMs };
  }
  if (!textOf) throw wrong(text, 'known are until, type, id and description');
  if (key === 'type' && operator !== '~=' && !TYPES.includes(value as ItemType))
    throw wrong(text, `types are ${TYPES.join(', ')}`);
  if (operator === '~=') {
    const pattern = parsePattern(text, value);
    return { key, isNegated, isMet: (item) => textOf(item).some((found) => pattern.test(found)) };
  }
  const isEqual = (item: StoreItem) =>
    textOf(item).some((found) => found === value || (key === 'id' && found.startsWith(value)));
  return { key, isNegated, isMet: (item) => isEqual(item) !== isNegated };
}

function textFor(key: string): ((item: StoreItem) => readonly string[]) | undefined {
  if (key === 'id') return (item) => [item.id, item.key ?? '', item.diffId ?? ''];
  if (key === 'description') return (item) => [item.description];
  // The forms of a layer are found as layers too.
  if (key === 'type') return (item) => [item.type, ...(item.diffId === undefined ? [] : ['layer'])];
  return undefined;
}

function parsePattern(text: string, value: string): RegExp {
  try {
    return new RegExp(value);
  } catch (error) {
    throw wrong(text, `"${value}" is no regular expression: ${(error as Error).message}`);
  }
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `90s`, `24h`, `1h30m`, `7d`. @throws USAGE */
export function parseAge(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smhdw])/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw new BuildError('USAGE', `"${text}" is not a duration`, {
      hint: 'write it as 90s, 24h, 1h30m or 7d',
    });
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNIT_MS[unit!]!, 0);
}

function wrong(text: string, hint: string): BuildError {
  return new BuildError('USAGE', `the filter "${text}" cannot be understood`, { hint });
}
