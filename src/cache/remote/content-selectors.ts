import type { ContentSelector } from '../../graph/contract.js';
import { compareBytes } from './go-json.js';

/** What mounts show of an input: links followed, a path below another one left out. */
export function contentPaths(paths: readonly string[]): ContentSelector[] {
  if (paths.includes('/')) return [{ path: '/' }];
  return outermost(paths).map((path) => ({ path, followLinks: true }));
}

/** The selectors of COPY in the order in which their digests are joined. */
export function orderSelectors(selectors: readonly ContentSelector[]): ContentSelector[] {
  const plain = selectors.filter((selector) => !isFiltered(selector)).map(({ path }) => path);
  const merged = outermost(plain).map((path) => ({ path, followLinks: true }));
  return [...merged, ...selectors.filter(isFiltered)].toSorted((a, b) => compareBytes(a.path, b.path));
}

export function isFiltered({ wildcard, exclude = [] }: ContentSelector): boolean {
  return (wildcard ?? false) || exclude.length > 0;
}

function outermost(paths: readonly string[]): string[] {
  const unique = [...new Set(paths)];
  const isBelow = (path: string, other: string) =>
    path !== other && path.startsWith(other.endsWith('/') ? other : `${other}/`);
  return unique
    .filter((path) => !unique.some((other) => isBelow(path, other)))
    .toSorted((a, b) => compareBytes(a, b));
}
