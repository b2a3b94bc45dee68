import { posix } from 'node:path';
import type { SourceOp } from '../graph/op.js';
import { familiarReference, isReference, parseReference } from '../oci/reference.js';
import { formatPlatform, type Platform } from '../oci/platform.js';

/** Where the build context, or a context with a name (`--build-context`), comes from. */
export type ContextSource =
  | { readonly kind: 'scratch' }
  /** A directory of the caller, `local://NAME`. */
  | { readonly kind: 'local'; readonly name: string; readonly ignorePatterns: readonly string[] }
  /** What FROM could name: an image, or `oci-layout://DIR`. */
  | { readonly kind: 'image'; readonly reference: string }
  /** Files from elsewhere; of an archive (`archive` is its file's name) what is in it, of the directory `subdirectory`. */
  | { readonly kind: 'remote'; readonly op: SourceOp; readonly archive?: string };

/** Contexts by name. A name with `::PLATFORM` counts for that platform only, and before the plain name. */
export type NamedContexts = ReadonlyMap<string, ContextSource>;

/** Context names are compared as image names are: `docker.io/library/alpine:latest` is `alpine`. */
export function contextName(name: string): string {
  const [plain = '', platform] = name.split('::');
  const lower = isReference(plain) ? familiarReference(parseReference(plain)).replace(/:latest$/, '') : plain;
  return platform === undefined ? lower : `${lower}::${platform}`;
}

export function findContext(
  contexts: NamedContexts,
  name: string,
  platform: Platform,
): ContextSource | undefined {
  if (contexts.size === 0 || /^(scratch|context)$/i.test(name)) return undefined;
  const key = contextName(name);
  return contexts.get(`${key}::${formatPlatform(platform)}`) ?? contexts.get(key);
}

/** Last component of a URL's path, which is the name of the downloaded file. */
export function urlFileName(url: string): string {
  const path = URL.canParse(url) ? new URL(url).pathname : '';
  const name = posix.basename(decodeURIComponentOr(path));
  return name === '' || name === '.' || name === '/' ? '__unnamed__' : name;
}

function decodeURIComponentOr(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
