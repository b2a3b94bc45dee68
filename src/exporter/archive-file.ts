import { closeSync, openSync, readSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { removeTemporariesIn, removeTemporary, temporaryBeside } from '../cache/leftovers.js';
import { writeAll } from '../cache/write-all.js';
import { BuildError, throwIfAborted } from '../errors.js';
import { digestOfJson } from '../oci/digest.js';
import { TAR_END, tarPadding } from '../oci/tar/tar-entry.js';
import { copyFileRange } from '../worker/sys/syscalls.js';
import {
  archiveBytes,
  type ArchiveFile,
  archiveFrame,
  exportFailed,
  isSpecialFile,
  writeDestination,
} from './archive.js';
import { forgetWritten, isWritten, rememberWritten } from './written-archives.js';

const BUFFER_BYTES = 1 << 20;
/** Less is copied through this process: calling the kernel for it takes 1 ms the first time. */
const IN_KERNEL_BYTES = 8 << 20;
/** Bytes between two looks at the event loop, so that Ctrl-C gets its turn. */
const BYTES_PER_TURN = 64 << 20;

/**
 * Writes an archive to standard output for `-`, else to a file that gets its name when it is whole. A file that holds the same
 * archive already, and that nobody touched since, is left as it is: none of its bytes is read or written.
 * @param memory the directory that knows which archives were written
 * @throws EXPORT_FAILED
 */
export async function writeArchive(
  files: readonly ArchiveFile[],
  dest: string,
  { stdout, signal, memory }: { stdout: Writable | undefined; signal: AbortSignal; memory: string },
): Promise<void> {
  if (dest === '-' || isSpecialFile(dest)) return writeDestination(archiveBytes(files), dest, stdout, signal);
  const identity = digestOfJson(
    files.map((file) => [file.name, 'data' in file ? file.data.toString() : file.size]),
  );
  if (isWritten(memory, dest, identity)) return;
  removeTemporariesIn(dirname(dest), basename(dest));
  forgetWritten(memory, dest);
  const temporary = temporaryBeside(dest);
  try {
    await writeFile(temporary, files, signal);
    renameSync(temporary, dest);
  } catch (error) {
    removeTemporary(temporary);
    if (signal.aborted) throw signal.reason;
    if (error instanceof BuildError) throw error;
    throw exportFailed(dest, error);
  }
  await rememberWritten(memory, dest, identity);
}

/** Copies block by block, in the kernel or through one buffer, headers included: streams would take four times as long. */
async function writeFile(path: string, files: readonly ArchiveFile[], signal: AbortSignal): Promise<void> {
  const frame = archiveFrame(files);
  const fd = openSync(path, 'w', 0o666);
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let sinceTurn = 0;
  try {
    writeAll(fd, frame.directories);
    for (const file of files) {
      writeAll(fd, frame.headerOf(file));
      if ('data' in file) writeAll(fd, file.data);
      else {
        for (const bytes of copyBlob(file.path, file.size, fd, buffer)) {
          sinceTurn += bytes;
          if (sinceTurn < BYTES_PER_TURN) continue;
          sinceTurn = 0;
          await yieldToEvents();
          throwIfAborted(signal);
        }
      }
      writeAll(fd, Buffer.alloc(tarPadding(file.size)));
    }
    writeAll(fd, TAR_END);
  } finally {
    closeSync(fd);
  }
}

function* copyBlob(path: string, size: number, target: number, buffer: Buffer): Generator<number> {
  const source = openSync(path, 'r');
  try {
    let isInKernel = size >= IN_KERNEL_BYTES;
    for (let left = size; left > 0;) {
      const copied = isInKernel ? copyFileRange(source, target, Math.min(IN_KERNEL_BYTES, left)) : 0;
      // Where the kernel cannot, or says that nothing is left, reading shows what is the matter.
      isInKernel = copied > 0;
      const bytes = copied || copyPart(source, target, buffer.subarray(0, left));
      if (bytes === 0) throw new BuildError('STORE_DAMAGED', `"${path}" is shorter than ${size} bytes`);
      left -= bytes;
      yield bytes;
    }
  } finally {
    closeSync(source);
  }
}

function copyPart(source: number, target: number, buffer: Buffer): number {
  const read = readSync(source, buffer, 0, buffer.length, null);
  writeAll(target, buffer.subarray(0, read));
  return read;
}
