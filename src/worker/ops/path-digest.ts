import { createHash } from 'node:crypto';
import { canonicalJson, type Digest, digestFromHash } from '../../oci/digest.js';
import type { UnionView } from '../snapshot/union-view.js';

/**
 * Digest of what is at the absolute path `source`, links followed, and below: names, types, modes, owners, content, links,
 * devices, attributes; never times. A path where nothing is has a digest as well.
 */
export function pathDigest(view: UnionView, source: string): Digest {
  const root = view.resolve(source, true);
  const digest = createHash('sha256');
  for (const { entry } of view.walk(root)) {
    const { type, mode, uid, gid, size, linkName, deviceMajor, deviceMinor, xattrs, digest: content } = entry;
    const path = entry.path.slice(root.length);
    const what = { path, type, mode, uid, gid, size, linkName, deviceMajor, deviceMinor, xattrs, content };
    digest.update(`${canonicalJson(what)}\n`);
  }
  return digestFromHash(digest);
}
