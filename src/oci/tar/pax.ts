/**
 * PAX extended headers (POSIX pax, "pax Extended Header"): records `length key=value\n`, where the length counts the whole
 * record with itself. Values are bytes: xattrs are binary, and going through strings would corrupt them.
 */
export function encodePax(records: ReadonlyMap<string, string | Buffer>): Buffer {
  const keys = [...records.keys()].sort();
  return Buffer.concat(
    keys.map((key) => {
      const value = Buffer.from(records.get(key)!);
      const body = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
      let length = body.length + 1;
      while (String(length).length + body.length !== length) length = String(length).length + body.length;
      return Buffer.concat([Buffer.from(String(length)), body]);
    }),
  );
}

/** Undefined when the data is no list of records. */
export function decodePax(data: Buffer): Map<string, Buffer> | undefined {
  const records = new Map<string, Buffer>();
  let at = 0;
  while (at < data.length) {
    if (data[at] === 0) break;
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? NaN : decimal(data.toString('latin1', at, Math.min(space, at + 16)));
    if (
      !Number.isInteger(length) ||
      length < 5 ||
      at + length > data.length ||
      data[at + length - 1] !== 0x0a
    )
      return undefined;
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= at + length) return undefined;
    records.set(
      data.toString('utf8', space + 1, equals),
      Buffer.from(data.subarray(equals + 1, at + length - 1)),
    );
    at += length;
  }
  return records;
}

/** Digits only: `0x10`, `1e3` and blanks are none. */
function decimal(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : NaN;
}
