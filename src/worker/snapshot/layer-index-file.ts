import { closeSync, existsSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { replaceByParts } from '../../cache/checked-file.js';
import { BuildError } from '../../errors.js';
import { isErrno } from '../sys/libc.js';
import type { LayerIndex } from './layer-index.js';
import { encodeListing, isDamage, ListingBlocks, type ListingPart } from './listing-blocks.js';

/** Bytes from which on it pays to find single entries. */
const LARGE = 1 << 18;
/** Holds the table of some 60,000 entries; that of a larger listing is read for itself. */
const TAIL = 1 << 16;

/** The index stored at `path`, or undefined where there is none or it is damaged: then it is removed. */
export function loadLayerIndex(path: string): LayerIndex | undefined {
  const index = readLayerIndex(path);
  const discard = () => rmSync(path, { force: true });
  if (index instanceof ListingBlocks) index.readBy((part) => readAgain(path, part), discard);
  if (index !== 'damaged') return index;
  discard();
  return undefined;
}

/** The whole, for who only looks. */
export function wholeLayerIndex(path: string): LayerIndex | 'damaged' | undefined {
  const index = readLayerIndex(path);
  if (!(index instanceof ListingBlocks)) return index;
  index.readBy((part) => readAgain(path, part));
  try {
    return { entries: index.entries, impliedDirectories: index.impliedDirectories };
  } catch (error) {
    if (error instanceof BuildError) return 'damaged';
    throw error;
  }
}

function readLayerIndex(path: string): LayerIndex | 'damaged' | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    const read = (part: ListingPart) => readPart(fd, part);
    const listing = ListingBlocks.open(size, read, size < LARGE ? size : TAIL);
    if (!listing) return 'damaged';
    if (size < LARGE) return { entries: listing.entries, impliedDirectories: listing.impliedDirectories };
    return listing;
  } catch (error) {
    if (isDamage(error) || error instanceof BuildError) return 'damaged';
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** No descriptor is kept: a library's process may hold listings for days. */
function readAgain(path: string, part: ListingPart): Buffer {
  const fd = openSync(path, 'r');
  try {
    return readPart(fd, part);
  } finally {
    closeSync(fd);
  }
}

function readPart(fd: number, { at, length }: ListingPart): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length;) {
    const count = readSync(fd, bytes, done, length - done, at + done);
    if (count === 0) throw new RangeError('a listing ends before it says');
    done += count;
  }
  return bytes;
}

/** Where there is none yet: others may be reading blocks of one that is there. */
export function addLayerIndex(path: string, index: LayerIndex): void {
  if (!existsSync(path)) saveLayerIndex(path, index);
}

export function saveLayerIndex(path: string, index: LayerIndex): void {
  replaceByParts(path, encodeListing(index));
}
