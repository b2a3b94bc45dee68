import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createSpaceGuard } from '../../cache/free-space.js';
import { BuildError } from '../../errors.js';
import { type ReadTarEntry, readTar } from '../../oci/tar/tar-reader.js';
import { openContent } from '../source/archive-file.js';
import type { FileContent } from '../snapshot/layer-writer.js';
import { joinPath, parentPath } from '../snapshot/path-order.js';
import type { CopyAttributes } from './copy-plan.js';
import type { PlannedEntry, WorkTree } from './work-tree.js';

/** Holds the contents of unpacked archives until the layer is written; disposing removes it. */
export class ArchiveSpool implements Disposable {
  readonly #workRoot: () => string;
  #directory: string | undefined;
  #count = 0;

  constructor(workRoot: () => string) {
    this.#workRoot = workRoot;
  }

  nextPath(): string {
    this.#directory ??= mkdtempSync(join(this.#workRoot(), 'add-'));
    this.#count += 1;
    return join(this.#directory, String(this.#count));
  }

  [Symbol.dispose](): void {
    if (this.#directory) rmSync(this.#directory, { recursive: true, force: true });
  }
}

/**
 * Plans an archive's entries below `directory`, as `tar -x` would place them: links on the way are followed, what is in the
 * way is replaced, directories are merged. Owners come from the archive unless `--chown` gives one.
 * @throws TAR_INVALID for names that leave the directory or damaged data
 */
export async function planArchive(
  work: WorkTree,
  content: FileContent,
  directory: string,
  given: CopyAttributes,
  spool: ArchiveSpool,
): Promise<void> {
  // --chmod is for files and directories that are copied, not for what an archive holds or needs.
  const attributes = { ...given, newDirectory: { ...given.newDirectory, mode: 0o755 } };
  work.makeDirectories(directory, attributes.newDirectory);
  const spooled = spool.nextPath();
  const guard = createSpaceGuard(spooled);
  const fd = openSync(spooled, 'wx');
  let position = 0;
  try {
    for await (const entry of readTar(openContent(content))) {
      const offset = position;
      for await (const chunk of entry.content) {
        guard(chunk.length);
        for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
        position += chunk.length;
      }
      placeEntry(work, entry, directory, attributes, { path: spooled, offset, length: entry.size });
    }
  } finally {
    closeSync(fd);
  }
}

function placeEntry(
  work: WorkTree,
  entry: ReadTarEntry,
  directory: string,
  attributes: CopyAttributes,
  content: FileContent,
): void {
  const name = cleanName(entry.name, entry.name);
  if (name === '') return;
  // Links lead at most to the destination's own root, as if the archive were unpacked in a chroot.
  const parent = work.resolve(parentPath(name), true, directory);
  work.makeDirectories(parent, attributes.newDirectory);
  const path = joinPath(parent, name.slice(name.lastIndexOf('/') + 1));
  const ids = attributes.ids ?? { uid: entry.uid, gid: entry.gid };
  const capability = entry.xattrs?.['security.capability'];
  const common = {
    path,
    mode: entry.type === 'symlink' ? 0o777 : entry.mode,
    ...ids,
    size: 0,
    mtimeSec: entry.mtimeSec,
    ...(capability ? { xattrs: { 'security.capability': capability.toString('base64') } } : {}),
  };
  switch (entry.type) {
    case 'file':
      work.put({ entry: { ...common, type: 'file', size: entry.size }, content });
      return;
    case 'hardlink':
      work.put(hardlinkTo(work, entry, directory, path));
      return;
    case 'symlink':
      work.put({ entry: { ...common, type: 'symlink', linkName: entry.linkName! } });
      return;
    case 'directory':
    case 'fifo':
      work.put({ entry: { ...common, type: entry.type } });
      return;
    case 'char':
    case 'block':
      work.put({
        entry: {
          ...common,
          type: entry.type,
          deviceMajor: entry.deviceMajor ?? 0,
          deviceMinor: entry.deviceMinor ?? 0,
        },
      });
  }
}

function hardlinkTo(work: WorkTree, entry: ReadTarEntry, directory: string, path: string): PlannedEntry {
  const target = work.resolve(cleanName(entry.linkName!, entry.name), false, directory);
  work.markInode(target);
  const file = work.plannedFile(target);
  if (!file)
    throw new BuildError(
      'TAR_INVALID',
      `the archive's hard link "${entry.name}" points to "${entry.linkName}", which is not there`,
    );
  return { ...file, entry: { ...file.entry, path } };
}

function cleanName(name: string, entryName: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw new BuildError(
      'TAR_INVALID',
      `the archive's entry "${entryName}" points outside of its destination`,
    );
  }
  return parts.join('/');
}
