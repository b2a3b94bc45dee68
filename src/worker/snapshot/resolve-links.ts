import { BuildError } from '../../errors.js';
import { joinPath, parentPath } from './path-order.js';

/** Linux follows 40; an image may have been made elsewhere. */
const MOST_LINKS = 255;

export interface LinkOptions {
  /** Whether a link at the end of the path is followed too. */
  readonly followLast: boolean;
  /** Where absolute links lead to and `..` ends; default: the root. */
  readonly root?: string;
  /** The target of the link at a path; undefined where no link is. */
  readonly readLink: (path: string) => string | undefined;
}

/**
 * `path` with all links resolved, as in a chroot: nothing leads above `root`. Components that do not exist are kept as written.
 * @throws FILE_OPERATION_FAILED for a loop of links
 */
export function resolveLinks(path: string, { followLast, root = '', readLink }: LinkOptions): string {
  const rest = componentsOf(path);
  let at = root;
  for (let links = 0; rest.length > 0;) {
    const name = rest.shift()!;
    if (name === '..') {
      if (at !== root) at = parentPath(at);
      continue;
    }
    const next = joinPath(at, name);
    const target = rest.length > 0 || followLast ? readLink(next) : undefined;
    if (target === undefined) {
      at = next;
      continue;
    }
    if (++links > MOST_LINKS) {
      throw new BuildError('FILE_OPERATION_FAILED', `"/${path}" goes through a loop of symbolic links`);
    }
    if (target.startsWith('/')) at = root;
    rest.unshift(...componentsOf(target));
  }
  return at;
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
