import { isUtf8 } from 'node:buffer';
import { BuildError } from '../../errors.js';
import type { Mutable } from '../../mutable.js';
import { limitHint, LIMITS } from '../limits.js';
import { BlockInput, invalid } from './block-input.js';
import { tarHeaders } from './headers.js';
import { decodePax } from './pax.js';
import { TAR_BLOCK, type TarEntry, type TarEntryType, tarPadding, wholeSeconds } from './tar-entry.js';

/** An entry while the archive is read. */
export interface ReadTarEntry extends TarEntry {
  /** Offset of the content in the archive. */
  readonly offset: number;
  /** The content, once, in order; what is not read is skipped when the next entry is asked for. */
  readonly content: TarContent;
}

/** A file's bytes: those at hand without a promise, the others with one. */
export interface TarContent extends AsyncIterable<Uint8Array> {
  /** The next of the bytes that are at hand; undefined where there are none, and at the end. */
  next(): Uint8Array | undefined;
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

/**
 * The entries of an uncompressed tar archive: ustar, PAX (global and local), GNU long names, base-256 numbers, v7. The source
 * is read to its end, so that what checks its digest there does so; leaving early closes it.
 * @throws TAR_INVALID for what is damaged, cut short, sparse, or beyond a limit
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<ReadTarEntry> {
  const input = new BlockInput(source);
  try {
    const meta = new MetaHeaders();
    let entries = 0;
    for (;;) {
      const block = input.readNow(TAR_BLOCK) ?? (await input.read(TAR_BLOCK, true));
      if (!block) return;
      const header = decodeHeader(block, input.position);
      if (!header) break;
      const kind = header.type ?? `flag ${block[156]}`;
      if (isMetaKind(kind)) {
        meta.add(kind, await readMeta(input, header.size));
        continue;
      }
      if (++entries > LIMITS.tarEntries)
        throw invalid(`it has more than ${LIMITS.tarEntries} entries`, limitHint('tarEntries'));
      const type = TYPES[kind];
      if (!type) throw invalid(`${quoted(header.name)} has the unsupported type ${kind}`);
      const entry = entryOf(header, type, meta, input);
      meta.endEntry();
      const { content, size: storedSize } = entry;
      yield entry;
      if (content.left > 0) await content.skip();
      if (!input.skipNow(tarPadding(storedSize))) await input.skip(tarPadding(storedSize));
    }
    while (await input.next(Infinity));
  } finally {
    await input.close();
  }
}

type MetaKind = 'pax-header' | 'pax-global-header' | 'gnu-long-link-path' | 'gnu-long-path';

function isMetaKind(kind: string): kind is MetaKind {
  return kind === 'pax-header' || kind === 'pax-global-header' || kind.startsWith('gnu-long');
}

/** What the headers before an entry say of it. */
class MetaHeaders {
  pax: ReadonlyMap<string, Buffer> = new Map();
  name: string | undefined;
  linkName: string | undefined;
  #global = new Map<string, Buffer>();
  #globalBytes = 0;
  #count = 0;

  add(kind: MetaKind, data: Buffer): void {
    if (++this.#count > LIMITS.tarHeaders)
      throw invalid(`it has more than ${LIMITS.tarHeaders} headers`, limitHint('tarHeaders'));
    if (kind === 'gnu-long-link-path') this.linkName = text(data);
    else if (kind === 'gnu-long-path') this.name = text(data);
    else if (kind === 'pax-header') this.pax = merged(this.#global, paxOf(data));
    else {
      this.#globalBytes += data.length;
      if (this.#globalBytes > LIMITS.tarHeaderBytes)
        throw invalid(`its global headers are too long`, limitHint('tarHeaderBytes'));
      this.pax = this.#global = merged(this.#global, paxOf(data));
    }
  }

  endEntry(): void {
    this.pax = this.#global;
    this.name = this.linkName = undefined;
  }
}

/** An empty value takes the record away (POSIX pax, "pax Header Block"). */
function merged(global: ReadonlyMap<string, Buffer>, own: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  const all = new Map(global);
  for (const [key, value] of own) {
    if (value.length > 0) all.set(key, value);
    else all.delete(key);
  }
  return all;
}

/** Whether an archive begins there: its first header reads, whatever it is of, and whether or not that can be taken. */
export async function beginsTar(source: AsyncIterable<Uint8Array>): Promise<boolean> {
  const input = new BlockInput(source);
  try {
    const block = await input.read(TAR_BLOCK, true);
    return block !== undefined && Boolean(decodeHeader(block, TAR_BLOCK));
  } catch (error) {
    if (error instanceof BuildError && error.code === 'TAR_INVALID') return false;
    throw error;
  } finally {
    await input.close();
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
  meta: MetaHeaders,
  input: BlockInput,
): ReadTarEntry & { readonly content: EntryContent } {
  const { pax } = meta;
  const name = checkedName(paxText(pax, 'path') ?? legacyText(meta.name ?? header.name));
  if (pax.size > 0 && [...pax.keys()].some((key) => key.startsWith('GNU.sparse.')))
    throw invalid(`${quoted(name)} is a sparse file`, 'make the archive without --sparse');
  const linkName = paxText(pax, 'linkpath') ?? legacyText(meta.linkName ?? header.linkname ?? '');
  const isLink = type === 'symlink' || type === 'hardlink';
  if (isLink && checkedName(linkName) === '') throw invalid(`the link ${quoted(name)} has no target`);
  const number = (key: 'size' | 'uid' | 'gid', most: number) => {
    const value = pax.has(key) ? paxNumber(pax.get(key)!) : header[key];
    if (!Number.isInteger(value) || value < 0 || value > most)
      throw invalid(
        `${quoted(name)} has the ${key} ${pax.get(key)?.toString('latin1').slice(0, 40) ?? value}`,
      );
    return value;
  };
  const isDevice = type === 'char' || type === 'block';
  const device = (value: number | undefined) => {
    if (!Number.isInteger(value ?? 0) || (value ?? 0) < 0)
      throw invalid(`the device ${quoted(name)} has no number`);
    return value ?? 0;
  };
  const [uid, gid] = [number('uid', LARGEST_ID), number('gid', LARGEST_ID)];
  const statedSize = number('size', Number.MAX_SAFE_INTEGER);
  const size = type === 'file' ? statedSize : 0;
  const entry: Mutable<ReturnType<typeof entryOf>> = {
    name: name.endsWith('/') ? name.replace(/(?<=.)\/+$/, '') : name,
    type: type === 'file' && name.endsWith('/') ? 'directory' : type,
    mode: header.mode & 0o7777,
    uid,
    gid,
    size,
    mtimeSec: wholeSeconds(pax.has('mtime') ? paxNumber(pax.get('mtime')!) : header.mtime.getTime() / 1000),
    offset: input.position,
    content: new EntryContent(input, size),
  };
  if (isLink) entry.linkName = linkName;
  if (isDevice) [entry.deviceMajor, entry.deviceMinor] = [device(header.devmajor), device(header.devminor)];
  const xattrs = xattrsOf(pax);
  if (xattrs) entry.xattrs = xattrs;
  return entry;
}

/** 2^32 - 1 stands for "no id" in chown(2). */
const LARGEST_ID = 2 ** 32 - 2;
/** A decimal number; NaN for anything else. */
function paxNumber(value: Buffer): number {
  const written = value.toString('latin1', 0, 40);
  return /^-?\d+(\.\d*)?$/.test(written) ? Number(written) : NaN;
}

/** Names are texts in this program: one that is none would become another file's. */
function paxText(pax: ReadonlyMap<string, Buffer>, key: string): string | undefined {
  const bytes = pax.get(key);
  if (bytes && !isUtf8(bytes)) throw notUtf8(bytes.toString('utf8'));
  return bytes?.toString('utf8');
}

/** Its bytes are gone, so that the character which stands for wrong ones is refused. */
function legacyText(name: string): string {
  if (name.includes('\uFFFD')) throw notUtf8(name);
  return name;
}

const notUtf8 = (name: string) =>
  invalid(`the name ${quoted(name)} is not UTF-8`, 'make the archive again with other names');

function checkedName(name: string): string {
  if (Buffer.byteLength(name) > LIMITS.pathBytes)
    throw invalid(`the name ${quoted(name)} is longer than ${LIMITS.pathBytes} bytes`);
  if (name.includes('\0')) throw invalid(`the name ${quoted(name)} has a NUL in it`);
  return name;
}

/** For messages, which a hostile name must not fill. */
function quoted(name: string): string {
  return name.length > 100 ? `"${name.slice(0, 100)}…"` : `"${name}"`;
}

function xattrsOf(pax: ReadonlyMap<string, Buffer>): Record<string, Buffer> | undefined {
  if (pax.size === 0) return undefined;
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
  if (!Number.isInteger(size) || size < 0 || size > LIMITS.tarHeaderBytes)
    throw invalid(`a header of ${size} bytes is too long`, limitHint('tarHeaderBytes'));
  const data = Buffer.from((await input.read(size, false))!);
  await input.skip(tarPadding(size));
  return data;
}

function text(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('utf8', 0, end < 0 ? data.length : end);
}

class EntryContent implements TarContent {
  readonly #input: BlockInput;
  #left: number;

  constructor(input: BlockInput, size: number) {
    this.#input = input;
    this.#left = size;
  }

  get left(): number {
    return this.#left;
  }

  next(): Uint8Array | undefined {
    const part = this.#left > 0 ? this.#input.nextNow(this.#left) : undefined;
    this.#left -= part?.length ?? 0;
    return part;
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
