import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { BuildError, throwIfAborted } from '../../errors.js';
import { type Digest, isDigest } from '../../oci/digest.js';
import { chunkFile } from './chunker.js';

export const MOUNT_INDEX_TYPE = 'application/vnd.tsbuild.cachemount.index.v1+gzip';
const BYTES_PER_TURN = 16 << 20;

/** What a cache mount holds: its files with their chunks, and in which packs the chunks are. */
export interface MountIndex {
  /** Parents before children, the directory itself (path '') first. */
  readonly entries: readonly MountEntry[];
  readonly chunks: readonly MountChunk[];
  readonly packs: readonly Digest[];
}

export interface MountEntry {
  readonly path: string;
  readonly type: 'directory' | 'file' | 'symlink' | 'hardlink';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds, decimal. */
  readonly mtimeNs: string;
  /** Target of a symlink, or the path of the file that a hard link shares. */
  readonly link?: string;
  /** Indexes into `chunks`. */
  readonly chunks?: readonly number[];
}

export interface MountChunk {
  /** Base64 of the first 20 bytes of the sha256: tells chunks apart; packs are verified as a whole. */
  readonly id: string;
  readonly length: number;
  /** Index into `packs`, and where in the unpacked pack. */
  readonly pack: number;
  readonly offset: number;
}

/** A chunk and a place where its bytes can be read. */
export interface FoundChunk {
  readonly id: string;
  readonly length: number;
  readonly path: string;
  readonly offset: number;
}

export interface MountScan {
  readonly entries: readonly MountEntry[];
  /** Each once, in the order of the files. */
  readonly chunks: readonly FoundChunk[];
}

export function chunkId(data: Uint8Array): string {
  return createHash('sha256').update(data).digest().subarray(0, 20).toString('base64');
}

/**
 * Reads every file of `directory`. Sockets, pipes and devices are left out.
 * @throws CACHE_FAILED where a name or the target of a link is not UTF-8, which an index cannot say, and where a file goes meanwhile
 */
export async function scanMount(directory: string, signal: AbortSignal): Promise<MountScan> {
  const entries: MountEntry[] = [];
  const chunks: FoundChunk[] = [];
  const numbers = new Map<string, number>();
  const links = new Map<bigint, string>();
  let turnBytes = 0;
  const numberOf = (data: Buffer, path: string, offset: number): number => {
    turnBytes += data.length;
    const id = chunkId(data);
    const known = numbers.get(id);
    if (known !== undefined) return known;
    numbers.set(id, chunks.push({ id, length: data.length, path, offset }) - 1);
    return chunks.length - 1;
  };
  const visit = async (path: string): Promise<void> => {
    const file = join(directory, path);
    const stat = lstatSync(file, { bigint: true });
    const common = {
      path,
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtimeNs: String(stat.mtimeNs),
    };
    if (stat.isDirectory()) {
      entries.push({ ...common, type: 'directory' });
      const names = readdirSync(file, { encoding: 'buffer' }).map((name) => textOf(name, file));
      for (const name of names.sort()) await visit(path === '' ? name : `${path}/${name}`);
    } else if (stat.isSymbolicLink()) {
      entries.push({
        ...common,
        type: 'symlink',
        link: textOf(readlinkSync(file, { encoding: 'buffer' }), file),
      });
    } else if (stat.isFile()) {
      const link = stat.nlink > 1n ? links.get(stat.ino) : undefined;
      if (link !== undefined) {
        entries.push({ ...common, type: 'hardlink', link });
        return;
      }
      links.set(stat.ino, path);
      const own: number[] = [];
      const fd = openSync(file, 'r');
      try {
        chunkFile(fd, (data, offset) => own.push(numberOf(data, path, offset)));
      } finally {
        closeSync(fd);
      }
      entries.push({ ...common, type: 'file', chunks: own });
      if (turnBytes < BYTES_PER_TURN) return;
      turnBytes = 0;
      await yieldToEvents();
      throwIfAborted(signal);
    }
  };
  try {
    await visit('');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const { path = directory } = error as NodeJS.ErrnoException;
    throw mountChanged(relative(directory, path), error);
  }
  return { entries, chunks };
}

/** Another step uses the mount while it is read. */
export function mountChanged(path: string, cause?: unknown): BuildError {
  return new BuildError('CACHE_FAILED', `"${path}" of a cache mount changed while it was read`, {
    cause,
    hint: 'another build uses the mount; its next export has the whole of it',
  });
}

function textOf(bytes: Buffer, place: string): string {
  if (isUtf8(bytes)) return bytes.toString();
  const shown = bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
  throw new BuildError('CACHE_FAILED', `"${shown}" in "${place}" is not UTF-8`, {
    hint: 'give the file another name in the step that makes it, or remove it there',
  });
}

/** @throws CACHE_INVALID for an index that is malformed or names a file outside of the mount */
export function parseMountIndex(text: string): MountIndex {
  const { entries, chunks, packs } = JSON.parse(text) as MountIndex;
  const isNumber = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
  const directories = new Set<string>();
  const files = new Set<string>();
  const isEntry = (entry: MountEntry, i: number): boolean => {
    const slash = entry.path.lastIndexOf('/');
    const name = entry.path.slice(slash + 1);
    const isBelow = directories.has(slash < 0 ? '' : entry.path.slice(0, slash));
    const isPlaced = i === 0 ? entry.path === '' && entry.type === 'directory' : isBelow;
    if (!isPlaced || (i > 0 && (name === '' || name === '.' || name === '..' || name.includes('\0'))))
      return false;
    if (directories.has(entry.path) || files.has(entry.path)) return false;
    if (entry.type === 'hardlink' && !files.has(entry.link!)) return false;
    (entry.type === 'directory' ? directories : files).add(entry.path);
    return (
      [entry.mode, entry.uid, entry.gid].every(isNumber) &&
      /^-?\d{1,20}$/.test(entry.mtimeNs) &&
      (entry.chunks ?? []).every((chunk) => isNumber(chunk) && chunk < chunks.length)
    );
  };
  const isChunk = ({ length, offset, pack }: MountChunk) =>
    [length, offset, pack].every(isNumber) && pack < packs.length;
  if (packs.every((pack) => isDigest(pack)) && chunks.every(isChunk) && entries.every(isEntry))
    return { entries, chunks, packs };
  throw new BuildError('CACHE_INVALID', 'the index of a cache mount is damaged');
}
