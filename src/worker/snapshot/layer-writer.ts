import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import type { ContentStore } from '../../cache/content-store.js';
import { BuildError, throwIfAborted } from '../../errors.js';
import type { Layer } from '../../graph/contract.js';
import { canonicalJson, type Digest, digestFromHash, digestOf, TextHash } from '../../oci/digest.js';
import { TAR_END, tarPadding } from '../../oci/tar/tar-entry.js';
import { encodeTarHeader } from '../../oci/tar/tar-writer.js';
import type { LayerScan } from '../../secrets/leak-check.js';
import { isErrno } from '../sys/libc.js';
import { openRegular } from '../sys/open-regular.js';
import { BlobWriter } from './blob-writer.js';
import type { LayerEntry } from './layer-index.js';
import { baseName, joinPath, parentPath } from './path-order.js';

/** Where a file's bytes are: all of a file from `offset` (default 0), `length` bytes long. */
export interface FileContent {
  readonly path: string;
  readonly offset?: number;
  readonly length: number;
  /**
   * The state in which the file was hashed for the entry's digest, when any later change shows in it: a file that has that
   * state before and after it was read is not hashed again.
   */
  readonly hashedAs?: FileState;
}

/** What of a file changes with every write to it (stat's words). */
export interface FileState {
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

function isInState(fd: number, state: FileState): boolean {
  const { ino, size, mtimeMs, ctimeMs } = fstatSync(fd);
  return ino === state.ino && size === state.size && mtimeMs === state.mtimeMs && ctimeMs === state.ctimeMs;
}

/** Work between two looks at the event loop, so that Ctrl-C and progress get their turn. */
const BYTES_PER_TURN = 16 << 20;
const ENTRIES_PER_TURN = 2000;

/**
 * Writes one layer in one pass: tar, diffID, listing and content digest. Entries come sorted by path components, each path
 * once. Ends with `finish` or `abort`; nothing is visible before `finish`.
 */
export class LayerWriter {
  readonly entries: LayerEntry[] = [];
  readonly #saveIndex: (diffId: Digest, entries: readonly LayerEntry[]) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #scan: LayerScan | undefined;
  readonly #blob: BlobWriter;
  readonly #treeHash = new TextHash();
  #turnBytes = 0;
  #turnEntries = 0;

  constructor(
    content: ContentStore,
    saveIndex: (diffId: Digest, entries: readonly LayerEntry[]) => void,
    {
      signal,
      scan,
    }: { readonly signal?: AbortSignal | undefined; readonly scan?: LayerScan | undefined } = {},
  ) {
    this.#saveIndex = saveIndex;
    this.#signal = signal;
    this.#scan = scan;
    this.#blob = new BlobWriter(content, scan && ((part) => scan.add(part)));
  }

  /**
   * Adds an entry; a file's size and digest are those of `content`. Synchronous but for a turn of the event loop now and
   * then: await the promise where one comes back.
   * @throws CONTEXT_CHANGED when a file is shorter or, where the entry has a digest, other than announced
   */
  add(entry: LayerEntry, content?: FileContent | Uint8Array): Promise<void> | undefined {
    const writing = this.#write(entry, content);
    const step = writing.next();
    if (!step.done) return this.#goOn(writing);
    this.#added(step.value);
    return this.#isTurn() ? this.#turn() : undefined;
  }

  async #goOn(writing: Generator<undefined, LayerEntry>): Promise<void> {
    try {
      for (;;) {
        await this.#turn();
        const step = writing.next();
        if (step.done) return this.#added(step.value);
      }
    } finally {
      // Closes the file where it is not all there.
      writing.return(undefined as never);
    }
  }

  #added(entry: LayerEntry): void {
    this.#treeHash.add(`${contentLine(entry)}\n`);
    this.entries.push(entry);
    this.#turnEntries += 1;
  }

  #isTurn(): boolean {
    return this.#turnBytes >= BYTES_PER_TURN || this.#turnEntries >= ENTRIES_PER_TURN;
  }

  async #turn(): Promise<void> {
    [this.#turnBytes, this.#turnEntries] = [0, 0];
    await yieldToEvents();
    throwIfAborted(this.#signal);
  }

  /** Ends the tar, gives the blob and the index their names. After an error `abort` is due. @throws SECRET_LEAKED by the scan */
  finish(createdAt: string): Layer {
    this.#blob.append(TAR_END);
    const diffId = this.#blob.end();
    this.#scan?.finish(this.entries, diffId);
    this.#saveIndex(diffId, this.entries);
    this.#blob.commit(diffId);
    return { diffId, contentDigest: this.#treeHash.digest(), createdAt };
  }

  /** Drops what was written. */
  abort(): void {
    this.#blob.abort();
  }

  /** Stops where a turn of the event loop is due in the middle of a file. */
  *#write(
    entry: LayerEntry,
    content: FileContent | Uint8Array | undefined,
  ): Generator<undefined, LayerEntry> {
    if (entry.type === 'whiteout') {
      const name = joinPath(parentPath(entry.path), `.wh.${baseName(entry.path)}`);
      this.#blob.append(
        encodeTarHeader({ name, type: 'file', mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 }),
      );
      return entry;
    }
    const size = entry.type === 'file' ? (content?.length ?? 0) : 0;
    const { path, type, mode, uid, gid, mtimeSec, linkName, deviceMajor, deviceMinor, xattrs } = entry;
    // Named one by one: V8 gives each object that is made by spreading a shape of its own, 600 bytes for each file.
    this.#blob.append(
      encodeTarHeader({
        name: path === '' ? '.' : path,
        type,
        mode,
        uid,
        gid,
        size,
        mtimeSec,
        linkName,
        deviceMajor,
        deviceMinor,
        xattrs: xattrs && decodedXattrs(xattrs),
      }),
    );
    if (type !== 'file') return { ...entry, size };
    const offset = this.#blob.size;
    const digest = yield* this.#copy(entry, content ?? Buffer.alloc(0));
    this.#blob.append(Buffer.alloc(tarPadding(size)));
    // As a whole it has two thirds of the size that it has when it is put together, which counts for many files.
    return xattrs || linkName !== undefined
      ? Object.assign({}, entry, { size, digest, offset })
      : { path, type, mode, uid, gid, size, mtimeSec, digest, offset };
  }

  *#copy(entry: LayerEntry, content: FileContent | Uint8Array): Generator<undefined, Digest> {
    const digest =
      content instanceof Uint8Array ? this.#copyBytes(content) : yield* this.#copyFile(entry, content);
    if (entry.digest !== undefined && entry.digest !== digest) throw changed(entry.path);
    return digest;
  }

  #copyBytes(content: Uint8Array): Digest {
    this.#blob.append(content);
    return digestOf(content);
  }

  *#copyFile(entry: LayerEntry, content: FileContent): Generator<undefined, Digest> {
    if (content.length === 0) return digestOf('');
    const fd = this.#open(entry, content);
    try {
      const state = content.hashedAs;
      if (entry.digest === undefined || !state || !isInState(fd, state)) {
        const hash = createHash('sha256');
        yield* this.#copyRange(fd, entry, content, hash);
        return digestFromHash(hash);
      }
      yield* this.#copyRange(fd, entry, content, undefined);
      if (!isInState(fd, state)) throw changed(entry.path);
      return entry.digest;
    } catch (error) {
      // What has no positions is a file no more.
      throw isErrno(error, 'ESPIPE', 'EISDIR') ? changed(entry.path) : error;
    } finally {
      closeSync(fd);
    }
  }

  #open(entry: LayerEntry, { path, offset }: FileContent): number {
    try {
      return openRegular(path);
    } catch (error) {
      const wasThere = entry.digest !== undefined && offset === undefined;
      throw wasThere && isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP') ? changed(entry.path) : error;
    }
  }

  *#copyRange(
    fd: number,
    entry: LayerEntry,
    content: FileContent,
    hash: Hash | undefined,
  ): Generator<undefined, void> {
    let from = content.offset ?? 0;
    for (let left = content.length; left > 0;) {
      if (this.#turnBytes >= BYTES_PER_TURN) yield;
      const room = this.#blob.room(left);
      const read = readSync(fd, room, 0, room.length, from);
      if (read === 0) throw changed(entry.path);
      hash?.update(room.subarray(0, read));
      this.#blob.fill(read);
      this.#turnBytes += read;
      from += read;
      left -= read;
    }
  }
}

function decodedXattrs(xattrs: NonNullable<LayerEntry['xattrs']>): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(xattrs).map(([key, value]) => [key, Buffer.from(value, 'base64')]),
  );
}

/** Canonical JSON of an entry without time and offset, so that it can be compared between layers. */
function contentLine({ mtimeSec: _mtimeSec, offset: _offset, ...entry }: LayerEntry): string {
  if (entry.xattrs || entry.opaque !== undefined) return canonicalJson(entry);
  // The same for plain members, in the order in which they are sorted: there is one line for each file.
  const { deviceMajor, deviceMinor, digest, gid, linkName, mode, path, size, type, uid } = entry;
  return JSON.stringify({ deviceMajor, deviceMinor, digest, gid, linkName, mode, path, size, type, uid });
}

function changed(path: string): BuildError {
  return new BuildError('CONTEXT_CHANGED', `"${path}" changed while it was copied`, {
    hint: 'run the build again when nothing writes to the file',
  });
}
