import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

const MOST_LINKS = 255;

/**
 * The host's path of `path` as a process with the root directory `root` sees it: symlinks are followed inside of `root` and `..`
 * cannot leave it. What does not exist stays as written. Synchronous, so that it sees this process's mounts.
 */
export function resolveInRoot(root: string, path: string): string {
  const pending = path.split('/').reverse();
  const resolved: string[] = [];
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      resolved.pop();
      continue;
    }
    const target = readLink(join(root, ...resolved, name));
    if (target === undefined || ++links > MOST_LINKS) {
      resolved.push(name);
      continue;
    }
    if (target.startsWith('/')) resolved.length = 0;
    pending.push(...target.split('/').reverse());
  }
  return join(root, ...resolved);
}

function readLink(path: string): string | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch {
    return undefined;
  }
}
