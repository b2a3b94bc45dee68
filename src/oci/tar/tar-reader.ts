import { BuildError } from '../../errors.js';
import { tarHeaders } from './headers.js';
import { decodePax } from './pax.js';
import { TAR_BLOCK, type TarEntry, type TarEntryType, tarPadding } from './tar-entry.js';

/** An entry while the archive is read. */
export interface ReadTarEntry extends TarEntry {
  /** Offset of the content in the archive. */
  readonly offset: number;
  /** The content, once, in order; what is not read is skipped when the next entry is asked for. */
  readonly content: AsyncIterable<Uint8Array>;
}

const TYPES: Readonly<Record<string, TarEntryType>> = {
  file: 'file',
  'contiguous-file': 'file',
  link: 'hardlink',
  symlink: 'symlink',
  'character-device': 'char',
  'block-device': 'block',
  directory: 'directory',
  fifo: 'fifo',
};

/** Longest PAX header or long name that is read into memory. */
const LONGEST_META = 1 << 20;

/**
 * The entries of an uncompressed tar archive: ustar, PAX (global and local), GNU long names, base-256 numbers, v7.
 * @throws TAR_INVALID for what is damaged, cut short, or sparse
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<ReadTarEntry> {
  const input = new BlockInput(source);
  let global = new Map<string, Buffer>();
  let local: Map<string, Buffer> | undefined;
  let longName: string | undefined;
  let longLink: string | undefined;
  for (;;) {
    const block = await input.read(TAR_BLOCK, true);
    if (!block) return;
    const header = decodeHeader(block, input.position);
    if (!header) return;
    const kind = header.type ?? `flag ${block[156]}`;
    if (kind === 'pax-header' || kind === 'pax-global-header' || kind.startsWith('gnu-long')) {
      const data = await readMeta(input, header.size);
      if (kind === 'pax-header') local = paxOf(data);
      else if (kind === 'pax-global-header') global = new Map([...global, ...paxOf(data)]);
      else if (kind === 'gnu-long-link-path') longLink = text(data);
      else longName = text(data);
      continue;
    }
    const type = TYPES[kind];
    if (!type) throw invalid(`"${header.name}" has the unsupported type ${kind}`);
    const pax = new Map([...global, ...(local ?? [])]);
    if ([...pax.keys()].some((key) => key.startsWith('GNU.sparse.')))
      throw invalid(`"${header.name}" is a sparse file`);
    const entry = entryOf(header, type, pax, longName, longLink);
    [local, longName, longLink] = [undefined, undefined, undefined];
    const offset = input.position;
    const storedSize = type === 'file' ? entry.size : 0;
    const content = new EntryContent(input, storedSize);
    yield { ...entry, size: storedSize, offset, content };
    await content.skip();
    await input.skip(tarPadding(storedSize));
  }
}

function decodeHeader(block: Buffer, position: number) {
  try {
    return tarHeaders().decode(block, 'utf-8', true);
  } catch (error) {
    throw new BuildError(
      'TAR_INVALID',
      `the archive is damaged at byte ${position - TAR_BLOCK}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function entryOf(
  header: NonNullable<ReturnType<typeof decodeHeader>>,
  type: TarEntryType,
  pax: ReadonlyMap<string, Buffer>,
  longName: string | undefined,
  longLink: string | undefined,
): TarEntry {
  const name = pax.get('path')?.toString('utf8') ?? longName ?? header.name;
  const linkName = pax.get('linkpath')?.toString('utf8') ?? longLink ?? header.linkname ?? undefined;
  const number = (key: string, fallback: number) =>
    pax.has(key) ? Number(pax.get(key)!.toString('latin1')) : fallback;
  const size = number('size', header.size);
  if (!Number.isSafeInteger(size) || size < 0) throw invalid(`"${name}" has the size ${size}`);
  const xattrs = xattrsOf(pax);
  const isDevice = type === 'char' || type === 'block';
  return {
    name: name.replace(/(?<=.)\/+$/, ''),
    type: type === 'file' && name.endsWith('/') ? 'directory' : type,
    mode: header.mode & 0o7777,
    uid: number('uid', header.uid),
    gid: number('gid', header.gid),
    size,
    mtimeSec: Math.floor(number('mtime', header.mtime.getTime() / 1000)) || 0,
    ...(linkName !== undefined && (type === 'symlink' || type === 'hardlink') ? { linkName } : {}),
    ...(isDevice ? { deviceMajor: header.devmajor ?? 0, deviceMinor: header.devminor ?? 0 } : {}),
    ...(xattrs ? { xattrs } : {}),
  };
}

function xattrsOf(pax: ReadonlyMap<string, Buffer>): Record<string, Buffer> | undefined {
  const prefix = 'SCHILY.xattr.';
  const keys = [...pax.keys()].filter((key) => key.startsWith(prefix)).sort();
  if (keys.length === 0) return undefined;
  return Object.fromEntries(keys.map((key) => [key.slice(prefix.length), pax.get(key)!]));
}

function paxOf(data: Buffer): Map<string, Buffer> {
  const records = decodePax(data);
  if (!records) throw invalid('a PAX header is damaged');
  return records;
}

async function readMeta(input: BlockInput, size: number): Promise<Buffer> {
  if (!(size <= LONGEST_META)) throw invalid(`a header of ${size} bytes is too long`);
  const data = Buffer.from((await input.read(size, false))!);
  await input.skip(tarPadding(size));
  return data;
}

function text(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('utf8', 0, end < 0 ? data.length : end);
}

function invalid(why: string): BuildError {
  return new BuildError('TAR_INVALID', `the archive is not a valid tar: ${why}`);
}

/** Pulls exact numbers of bytes out of a stream of chunks. */
class BlockInput {
  position = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #current: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** `length` bytes; undefined at a clean end when that is allowed. */
  async read(length: number, mayEnd: boolean): Promise<Buffer | undefined> {
    if (this.#current.length >= length) return this.#take(length);
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const part = await this.next(missing);
      if (!part) {
        if (mayEnd && missing === length) return undefined;
        throw invalid('it ends in the middle of an entry');
      }
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Between one and `most` bytes, or undefined at the end. */
  async next(most: number): Promise<Buffer | undefined> {
    while (this.#current.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#current = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return this.#take(Math.min(most, this.#current.length));
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const part = await this.next(left);
      if (!part) throw invalid('it ends in the middle of an entry');
      left -= part.length;
    }
  }

  #take(length: number): Buffer {
    const part = this.#current.subarray(0, length);
    this.#current = this.#current.subarray(length);
    this.position += length;
    return part;
  }
}

class EntryContent implements AsyncIterable<Uint8Array> {
  readonly #input: BlockInput;
  #left: number;

  constructor(input: BlockInput, size: number) {
    this.#input = input;
    this.#left = size;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#input.next(this.#left);
      if (!part) throw invalid('it ends in the middle of a file');
      this.#left -= part.length;
      yield part;
    }
  }

  async skip(): Promise<void> {
    await this.#input.skip(this.#left);
    this.#left = 0;
  }
}
