/** A tar header as it stands in the block; what is left out is that of a small file. */
export interface RawEntry {
  readonly name?: string | Buffer;
  /** The type flag: `0` file, `1` hard link, `2` symlink, `3` char, `4` block, `5` directory, `6` fifo, `x`, `g`, `L`, `K`. */
  readonly flag?: string;
  readonly link?: string | Buffer;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly device?: readonly [major: number, minor: number];
  readonly body?: string | Buffer;
  /** In place of the body's length. */
  readonly size?: number;
  /** Bytes in place of fields, by their offset in the block. */
  readonly raw?: Readonly<Record<number, Buffer>>;
  readonly checksum?: number;
}

const BLOCK = 512;

/** Writes what no honest program writes. */
export function rawEntry(entry: RawEntry): Buffer {
  const body = Buffer.from(entry.body ?? '');
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  Buffer.from(entry.name ?? 'file').copy(block, 0, 0, 100);
  octal(entry.mode ?? 0o644, 100, 7);
  octal(entry.uid ?? 0, 108, 7);
  octal(entry.gid ?? 0, 116, 7);
  octal(entry.size ?? body.length, 124, 11);
  octal(1_700_000_000, 136, 11);
  block.write(entry.flag ?? '0', 156, 'latin1');
  Buffer.from(entry.link ?? '').copy(block, 157, 0, 100);
  block.write('ustar\x0000', 257, 'latin1');
  octal(entry.device?.[0] ?? 0, 329, 7);
  octal(entry.device?.[1] ?? 0, 337, 7);
  for (const [at, bytes] of Object.entries(entry.raw ?? {})) bytes.copy(block, Number(at));
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${(entry.checksum ?? sum).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([block, body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)]);
}

export const TAR_ENDING = Buffer.alloc(2 * BLOCK);

export function rawTar(...entries: readonly (RawEntry | Buffer)[]): Buffer {
  const parts = entries.map((entry) => (Buffer.isBuffer(entry) ? entry : rawEntry(entry)));
  return Buffer.concat([...parts, TAR_ENDING]);
}

/** A PAX header with records as they are; `length` in place of the true one. */
export function paxEntry(records: Readonly<Record<string, string | Buffer>>, flag: 'x' | 'g' = 'x'): Buffer {
  const body = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  return rawEntry({ name: 'pax', flag, body: Buffer.concat(body) });
}

/** Chunks of a buffer, as a stream gives them. */
export async function* inChunks(data: Buffer, size = 65_536): AsyncIterable<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

/** Many small files, without ever being whole in memory. */
export async function* manyEntries(
  count: number,
  entryOf: (i: number) => RawEntry,
): AsyncIterable<Uint8Array> {
  for (let i = 0; i < count;) {
    const parts: Buffer[] = [];
    for (const end = Math.min(count, i + 512); i < end; i++) parts.push(rawEntry(entryOf(i)));
    yield Buffer.concat(parts);
  }
  yield TAR_ENDING;
}
