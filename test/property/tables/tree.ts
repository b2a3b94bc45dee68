import type { Random } from './random.js';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** What a context of these tests holds: a directory ends in `/`, a link has its target after `@`, the rest are files. */
export const TREE = [
  '.hidden',
  '.x/',
  '.x/a',
  '!d',
  '#c',
  '[a]',
  'a/',
  'a/a',
  'a/ac/',
  'a/ac/a',
  'a/ac/b.txt',
  'a/b',
  'a b',
  'a*',
  'a.txt',
  'ab',
  'abc',
  'b',
  'b\\c',
  'bar/',
  'bar/a.txt',
  'bar/g/',
  'bar/g/g/',
  'bar/g/g/b',
  'bar/empty/',
  'bar/foo/',
  'bar/foo/a',
  'c d/',
  'c d/a b',
  'c.md',
  'empty/',
  'foo/',
  'foo/.hidden',
  'foo/a',
  'foo/a.txt',
  'foo/bar/',
  'foo/bar/a',
  'foo/bar/ab',
  'foo/bar/b.txt',
  'foo/bar/baz/',
  'foo/bar/baz/a',
  'foo/bar/baz/c.md',
  'foo/l@a',
  'foo.bar',
  'lnk@foo',
  'é',
] as const;

/** Makes the tree. The text of a file is its place in the list. */
export function makeTree(root: string): string {
  mkdirSync(root, { recursive: true });
  for (const [i, written] of TREE.entries()) {
    const [path, target] = written.split('@') as [string, string?];
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    if (target !== undefined) symlinkSync(target, file);
    else if (path.endsWith('/')) mkdirSync(file, { recursive: true });
    else writeFileSync(file, i.toString(36));
  }
  return root;
}

/** Everything below `root`, sorted: `directory/`, `link@target`, `file:text`. */
export function listTree(root: string, path = ''): string[] {
  return readdirSync(join(root, path)).flatMap((name) => {
    const at = path === '' ? name : `${path}/${name}`;
    const file = join(root, at);
    const stat = lstatSync(file);
    if (stat.isSymbolicLink()) return [`${at}@${readlinkSync(file)}`];
    if (stat.isDirectory()) return [`${at}/`, ...listTree(root, at)];
    return [`${at}:${readFileSync(file, 'utf8')}`];
  });
}

export const PATHS: readonly string[] = TREE.map((written) => written.replace(/@.*|\/$/, ''));

/** A pattern that is near a path of the tree: some of its components, some of them blurred. */
export function blurredPath(random: Random): string {
  const parts = random.pick(PATHS).split('/');
  if (parts.length > 1 && random.chance(20)) parts.pop();
  return parts.map((part) => (random.chance(55) ? blurred(random, part) : part)).join('/');
}

function blurred(random: Random, name: string): string {
  const at = random.below(name.length);
  const [before, char, after] = [name.slice(0, at), name[at]!, name.slice(at + 1)];
  const middle = random.pick([
    '*',
    '*',
    '?',
    `[${char}]`,
    `[^${char}]`,
    `\\${char}`,
    `[${char}-z]`,
    `[!-${char}]`,
    '',
  ]);
  return (
    random.pick(['*', '*', `${before}*`, `*${after}`, ...Array<string>(4).fill(before + middle + after)]) ||
    '*'
  );
}
