/**
 * JSON as Go's encoding/json writes it, for digests that BuildKit makes of it: members in the order that they have, none that is
 * undefined, and `<`, `>`, `&` and the two line separators escaped.
 */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The member as protobuf's JSON tags have it: a zero, an empty text, false and an empty list are left out. */
export function orNothing<T>(value: T): T | undefined {
  const isZero = value === 0 || value === '' || value === false;
  return isZero || (Array.isArray(value) && value.length === 0) ? undefined : value;
}

/** Go's order of texts: by their UTF-8. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
