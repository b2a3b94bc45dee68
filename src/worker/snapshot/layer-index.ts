import { type Digest, TextHash } from '../../oci/digest.js';

/**
 * The listing of one layer: what its tar says, entry by entry, so that lookups, COPY --from, digests and exports need
 * neither a mount nor a directory. Kept beside the layer as `snapshots/<diffID hex>/listing`.
 */
export interface LayerIndex {
  /** Sorted by path components ('/' orders below every other byte), each path once; the last tar entry of a path wins. */
  readonly entries: readonly LayerEntry[];
  /** Directories that are parents of entries without having an entry themselves (foreign tars only). */
  readonly impliedDirectories: readonly string[];
}

export type EntryType =
  'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'whiteout';

export interface LayerEntry {
  /** Relative, clean, no leading slash; the root directory itself is '' (rare). A whiteout has the name of what it deletes. */
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file, else 0. */
  readonly size: number;
  readonly mtimeSec: number;
  /** Target of a symlink as written; of a hardlink the path (relative, clean) of the file entry in this layer. */
  readonly linkName?: string;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  /** Name to value, base64; names sorted. Never overlay's own. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** A directory that hides what the layers below have in it (read from `.wh..wh..opq`; never written to tars). */
  readonly opaque?: boolean;
  /** Digest of a file's bytes. */
  readonly digest?: Digest;
  /** Offset of a file's bytes in the uncompressed tar. */
  readonly offset?: number;
}

/** Digest of what a layer holds, however it was packed: everything but times and offsets. */
export function treeDigest({ entries, impliedDirectories }: LayerIndex): Digest {
  const hash = new TextHash();
  hash.add('tree\n');
  for (const entry of entries) {
    const { path, type, mode, uid, gid, size, linkName, deviceMajor, deviceMinor, xattrs, opaque, digest } =
      entry;
    const attributes = xattrs && Object.entries(xattrs);
    const row = [
      path,
      type,
      mode,
      uid,
      gid,
      size,
      linkName,
      deviceMajor,
      deviceMinor,
      attributes,
      opaque,
      digest,
    ];
    hash.add(JSON.stringify(row));
  }
  hash.add(JSON.stringify(impliedDirectories));
  return hash.digest();
}
