import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import { BuildError } from '../../errors.js';
import { decompress, detectCompression } from '../../oci/compression.js';
import { limitHint, LIMITS } from '../../oci/limits.js';
import { beginsTar, readTar } from '../../oci/tar/tar-reader.js';
import type { FileContent } from '../snapshot/layer-writer.js';

/** A file's bytes, decompressed where they are compressed. */
export function openContent(content: FileContent): AsyncIterable<Uint8Array> {
  const start = content.offset ?? 0;
  const head = Buffer.alloc(Math.min(6, content.length));
  const fd = openSync(content.path, 'r');
  try {
    readSync(fd, head, 0, head.length, start);
  } finally {
    closeSync(fd);
  }
  const stream = createReadStream(content.path, {
    start,
    end: start + content.length - 1,
    highWaterMark: 1 << 20,
  });
  return decompress(stream as AsyncIterable<Uint8Array>, detectCompression(head));
}

/**
 * Whether a file is an archive that ADD unpacks: a known compression or none, and a first tar header that reads. One that holds what
 * cannot be taken is an archive, too, so that it is not copied as it is without a word.
 */
export async function isArchive(content: FileContent): Promise<boolean> {
  if (content.length === 0) return false;
  try {
    return await beginsTar(openContent(content));
  } catch (error) {
    if (error instanceof BuildError && error.code !== 'UNSUPPORTED') return false;
    throw error;
  }
}

/** A file of an archive; the last one of that name counts. */
export async function readArchivedFile(content: FileContent, path: string): Promise<Buffer | undefined> {
  let found: Buffer | undefined;
  for await (const entry of readTar(openContent(content))) {
    if (entry.type !== 'file' || cleanEntryName(entry.name) !== path) continue;
    if (entry.size > LIMITS.dockerfileBytes)
      throw new BuildError('DOCKERFILE_SYNTAX', `"${path}" of the archive has ${entry.size} bytes`, {
        hint: limitHint('dockerfileBytes'),
      });
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry.content) chunks.push(chunk);
    found = Buffer.concat(chunks);
  }
  return found;
}

/** Time of the newest file in an archive, seconds since the epoch; undefined for what is no archive. */
export async function newestInArchive(content: FileContent): Promise<number | undefined> {
  if (!(await isArchive(content))) return undefined;
  let newest: number | undefined;
  for await (const entry of readTar(openContent(content))) {
    if (entry.type === 'file' && (newest === undefined || entry.mtimeSec > newest)) newest = entry.mtimeSec;
  }
  return newest;
}

function cleanEntryName(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
