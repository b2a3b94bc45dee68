const UNITS = ['', 'k', 'm', 'g', 't', 'p'];

/** `128m` in bytes, units of 1024. Errors are plain. */
export function parseBytesBinary(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([kmgtp])?i?b?$/i.exec(text);
  if (!parts) throw new Error(`"${text}" is no size such as 128m`);
  return Math.trunc(Number(parts[1]) * 1024 ** UNITS.indexOf((parts[2] ?? '').toLowerCase()));
}

/** `128MiB`, four digits at most. */
export function formatBytesBinary(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${Number(value.toPrecision(4))}${UNITS[unit]!.toUpperCase()}${unit > 0 ? 'iB' : 'B'}`;
}
