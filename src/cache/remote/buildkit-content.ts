import { createHash } from 'node:crypto';
import { type Digest, digestFromHash, digestOf } from '../../oci/digest.js';

/** What of a file BuildKit's content digest covers beside its bytes: the fields of a tar header but for its name and times. */
export interface HashedHeader {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** The letter that tar has for it. */
  readonly type: string;
  readonly linkName?: string | undefined;
}

/** A digest of a file that only wants its bytes. */
export function openFileHash(header: HashedHeader) {
  const { mode, uid, gid, size, type, linkName = '' } = header;
  return createHash('sha256').update(
    `namemode${mode}uid${uid}gid${gid}size${size}typeflag${type}linkname${linkName}` +
      `unamegnamedevmajor0devminor0`,
  );
}

/** The same of an empty directory. */
export function contentDigestOfDirectory(mode: number, uid: number, gid: number): Digest {
  const own = digestFromHash(openFileHash({ mode, uid, gid, size: 0, type: '5' }));
  return digestOf(digestOf(`\0${own}`));
}

/** The content digest of a selection of one file that root owns. */
export function contentDigestOfFile(mode: number, data: Buffer): Digest {
  const header = { mode, uid: 0, gid: 0, size: data.length, type: '0' };
  return digestOf(digestFromHash(openFileHash(header).update(data)));
}
