/**
 * A value of an expression. Lists and objects are never changed. An object's keys are in no order that counts: HCL walks
 * them sorted.
 */
export type Value = string | number | boolean | null | readonly Value[] | ValueObject | LazyObject;

export type ValueObject = ReadonlyMap<string, Value>;

/** Blocks of the file that expressions refer to (`target.app.tags`): worked out when something asks. */
export class LazyObject {
  constructor(
    readonly keys: () => readonly string[],
    /** Undefined where there is no such key. */
    readonly get: (key: string) => Value | undefined,
  ) {}
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isObject(value: Value): value is ValueObject {
  return value instanceof Map;
}

/** The same with nothing lazy at its top. */
export function settled(value: Value): Exclude<Value, LazyObject> {
  if (!(value instanceof LazyObject)) return value;
  return new Map(value.keys().map((key) => [key, value.get(key)!]));
}

export function sortedEntries(object: ValueObject): [string, Value][] {
  return [...object].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `a number`, for messages. */
export function kindOf(value: Value): string {
  if (value === null) return 'null';
  if (isList(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'boolean' ? 'a boolean' : `a ${typeof value}`;
}

/** Without an exponent. HCL counts in 512 bits: digits that only binary fractions of 64 bits have are rounded away. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return BigInt(value).toString();
  const short = String(Number(value.toPrecision(15)));
  if (!short.includes('e')) return short;
  return value.toFixed(20).replace(/0+$/, '');
}

/** Numbers and booleans become their text; undefined for what has none. */
export function textOf(value: Value): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return formatNumber(value);
  return typeof value === 'boolean' ? String(value) : undefined;
}

export function numberOf(value: Value): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || !/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(value)) return undefined;
  return Number(value);
}

export function booleanOf(value: Value): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === '1') return true;
  return value === 'false' || value === '0' ? false : undefined;
}

export function isEqual(a: Value, b: Value): boolean {
  const [left, right] = [settled(a), settled(b)];
  if (isList(left) && isList(right))
    return left.length === right.length && left.every((item, i) => isEqual(item, right[i]!));
  if (left instanceof Map && right instanceof Map)
    return (
      left.size === right.size &&
      [...left].every(([key, value]) => right.has(key) && isEqual(value, right.get(key)!))
    );
  return left === right;
}

/** As Go's JSON: keys sorted, `<`, `>` and `&` escaped. */
export function toJson(value: Value): string {
  const one = settled(value);
  if (one === null) return 'null';
  if (typeof one === 'number') return formatNumber(one);
  if (typeof one === 'boolean') return String(one);
  if (typeof one === 'string') return goJsonText(one);
  if (isList(one)) return `[${one.map(toJson).join(',')}]`;
  return `{${sortedEntries(one as ValueObject)
    .map(([key, item]) => `${goJsonText(key)}:${toJson(item)}`)
    .join(',')}}`;
}

/** A JSON string with the characters escaped that Go escapes. */
export function goJsonText(text: string): string {
  return JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** What JSON holds as a value. */
export function fromJson(data: unknown): Value {
  if (Array.isArray(data)) return data.map(fromJson);
  if (typeof data === 'object' && data !== null)
    return new Map(Object.entries(data).map(([key, item]) => [key, fromJson(item)]));
  return data as Value;
}
