import { canonicalJson, type Digest, TextHash } from '../../oci/digest.js';
import type { FileFacts, FileListing } from '../../graph/contract.js';
import type { LayerEntry } from '../snapshot/layer-index.js';
import type { UnionView } from '../snapshot/union-view.js';

/**
 * Digest of what is at the absolute path `source`, links followed, and below: names, types, modes, owners, content, links,
 * devices, attributes; never times. A path where nothing is has a digest as well.
 */
export function pathDigest(view: UnionView, source: string): Digest {
  const root = view.resolve(source, true);
  const hash = new TextHash();
  for (const { entry } of view.walk(root)) {
    const { type, mode, uid, gid, size, linkName, deviceMajor, deviceMinor, xattrs, digest: content } = entry;
    const path = entry.path.slice(root.length);
    const what = { path, type, mode, uid, gid, size, linkName, deviceMajor, deviceMinor, xattrs, content };
    hash.add(`${canonicalJson(what)}\n`);
  }
  return hash.digest();
}

/** The files that `pathDigest` covers at each of the sources, by their paths in the view. */
export function listPaths(view: UnionView, sources: readonly string[]): FileListing {
  const files = new Map<string, FileFacts>();
  for (const source of sources)
    for (const { entry } of view.walk(view.resolve(source, true))) files.set(entry.path, factsOf(entry));
  return files;
}

function factsOf(entry: LayerEntry): FileFacts {
  const { type, mode, uid, gid, linkName: link, deviceMajor, deviceMinor, xattrs } = entry;
  const digest = entry.digest && shortDigest(entry.digest);
  const device = deviceMajor === undefined ? undefined : `${deviceMajor}:${deviceMinor}`;
  const xattr = xattrs && canonicalJson(xattrs);
  return { type, mode, owner: `${uid}:${gid}`, digest, link, device, xattr };
}

/** Enough to tell two versions of a file apart; listings have one for each file. */
export function shortDigest(digest: string): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 16);
}
