import { basename, dirname, join } from 'node:path';
import { tarHeaders } from './headers.js';
import { encodePax } from './pax.js';
import { TAR_BLOCK, type TarEntry, tarPadding } from './tar-entry.js';

const TYPE_NAMES = {
  file: 'file',
  directory: 'directory',
  symlink: 'symlink',
  hardlink: 'link',
  char: 'character-device',
  block: 'block-device',
  fifo: 'fifo',
} as const;

/** What six octal digits hold; tar-stream clamps larger ids without a word. */
const LARGEST_ID = 0o777777;
const LARGEST_MTIME = 2 ** 31 - 1;
const LARGEST_SIZE = 0o77777777777;

/**
 * The header blocks of an entry: ustar, preceded by a PAX header where a field does not fit. Deterministic: no user names,
 * whole seconds, sorted records. The content and its padding are the caller's to write.
 */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const name = entry.type === 'directory' ? `${entry.name}/` : entry.name;
  const plain = encodeBlock(entry, name, entry.linkName);
  const records = paxRecords(entry, name, plain === undefined);
  if (records.size === 0) return plain!;
  const pax = encodePax(records);
  const paxName = join(dirname(entry.name), 'PaxHeaders.0', basename(entry.name));
  const paxHeader = tarHeaders().encode({
    name: asciiName(paxName),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: pax.length,
    mtime: new Date(0),
    type: 'pax-header',
  })!;
  const block = plain ?? encodeBlock(entry, asciiName(name), entry.linkName && asciiName(entry.linkName))!;
  return Buffer.concat([paxHeader, pax, Buffer.alloc(tarPadding(pax.length)), block]);
}

function encodeBlock(entry: TarEntry, name: string, linkName: string | undefined): Buffer | undefined {
  if (linkName !== undefined && Buffer.byteLength(linkName) !== linkName.length) return undefined;
  const block = tarHeaders().encode({
    name,
    mode: entry.mode & 0o7777,
    uid: Math.min(entry.uid, LARGEST_ID),
    gid: Math.min(entry.gid, LARGEST_ID),
    size: entry.type === 'file' ? Math.min(entry.size, LARGEST_SIZE) : 0,
    mtime: new Date(clampedMtime(entry.mtimeSec) * 1000),
    type: TYPE_NAMES[entry.type],
    linkname: linkName ?? null,
    devmajor: entry.deviceMajor ?? 0,
    devminor: entry.deviceMinor ?? 0,
  });
  // A long last component of a directory would leave the name empty, which many readers take for the end of the archive.
  return block && block[0] !== 0 ? block : undefined;
}

function paxRecords(entry: TarEntry, name: string, namesDoNotFit: boolean): Map<string, string | Buffer> {
  const records = new Map<string, string | Buffer>();
  if (namesDoNotFit) {
    records.set('path', name);
    if (entry.linkName !== undefined) records.set('linkpath', entry.linkName);
  }
  if (entry.uid > LARGEST_ID) records.set('uid', String(entry.uid));
  if (entry.gid > LARGEST_ID) records.set('gid', String(entry.gid));
  if (entry.type === 'file' && entry.size > LARGEST_SIZE) records.set('size', String(entry.size));
  if (clampedMtime(entry.mtimeSec) !== entry.mtimeSec) records.set('mtime', String(entry.mtimeSec));
  for (const [key, value] of Object.entries(entry.xattrs ?? {})) records.set(`SCHILY.xattr.${key}`, value);
  return records;
}

function clampedMtime(mtimeSec: number): number {
  return Math.min(Math.max(mtimeSec, 0), LARGEST_MTIME);
}

/** A name for the ustar block when PAX carries the real one. */
function asciiName(name: string): string {
  return (
    name
      .replace(/[^\x20-\x7e]/g, '_')
      .slice(-(TAR_BLOCK / 8 + 30))
      .replace(/^\/+/, '') || '_'
  );
}
