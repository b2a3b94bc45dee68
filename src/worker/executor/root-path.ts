import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';

const MOST_LINKS = 255;

/**
 * The host's path of `path` as a process with the root directory `root` sees it: symlinks are followed inside of `root` and `..`
 * cannot leave it. What does not exist stays as written. Synchronous, so that it sees this process's mounts.
 * @throws FILE_OPERATION_FAILED for a loop of links: a link left in the path would be followed on the host
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
    if (target === undefined) {
      resolved.push(name);
      continue;
    }
    if (++links > MOST_LINKS)
      throw new BuildError('FILE_OPERATION_FAILED', `"${path}" goes through a loop of symbolic links`);
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

/** Whether `path`, below `root`, has no link in it: what was made there may have been moved by the process since. */
export function isPlainPath(root: string, path: string): boolean {
  return resolveInRoot(root, path.slice(root.length)) === path;
}
