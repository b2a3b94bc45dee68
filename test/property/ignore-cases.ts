import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../src/errors.js';
import { parseIgnoreFile } from '../../src/graph/pattern-matcher.js';
import { LocalContext } from '../../src/worker/source/local-context.js';
import { type Builder, buildFiles, inParallel } from './tables/builder.js';
import type { Random } from './tables/random.js';
import { blurredPath, listTree, makeTree, PATHS } from './tables/tree.js';

const NAMES = [
  'a',
  'a',
  'b',
  'ab',
  'abc',
  'foo',
  'bar',
  'baz',
  'a.txt',
  '.hidden',
  '.x',
  'a b',
  'c d',
  'c.md',
];
const WILD = [
  '*',
  '*',
  '**',
  '**',
  '?',
  'a*',
  '*b',
  '*.txt',
  '[a-c]',
  '[ab]*',
  '[^a]',
  'a?',
  '.*',
  '*.*',
  '??',
];
const ODD = [
  '**a',
  'a**',
  '***',
  '\\*',
  '\\a',
  '[\\[]a]',
  'a\\*',
  '#c',
  '!d',
  'é',
  '[!a]',
  '[a-a]b',
  'f*r',
  '(a)',
  '+',
];
const ODDER = [
  'b\\\\c',
  'foo.bar',
  '{a,b}',
  '$',
  '^a',
  'a|b',
  '[a^]',
  '?*',
  '*?',
  '[é]',
  '[a]',
  'foo*bar',
  '[.]x',
];
const BROKEN = ['[', '[]', 'a\\', '[a', '[]a]', '[b-a]', ']', '[^]', '[a-', '[-a]'];

function part(random: Random): string {
  const roll = random.below(100);
  if (roll < 46) return random.pick(NAMES);
  if (roll < 81) return random.pick(WILD);
  if (roll < 88) return random.pick(ODD);
  if (roll < 94) return random.pick(ODDER);
  if (roll < 97) return '..';
  return random.chance(70) ? '.' : random.pick(BROKEN);
}

function rule(random: Random): string {
  if (random.chance(3))
    return random.pick(['', ' ', '#a', '# *', ' #c', '!', '! ', '.', '/', '!.', '!/', '..', '!..']);
  let text = random.chance(45)
    ? blurredPath(random)
    : random.many(1, random.pick([1, 2, 2, 3, 4]), () => part(random)).join('/');
  if (random.chance(8)) text = random.pick([`**/${text}`, `${text}/**`, `*/${text}`, `${text}/*`]);
  if (random.chance(5)) text = text.replace('/', '//');
  if (random.chance(10)) text = `/${text}`;
  if (random.chance(3)) text = `./${text}`;
  if (random.chance(8)) text += '/';
  if (random.chance(4)) text += '/.';
  if (random.chance(32)) text = `${random.pick(['!', '!', '!', '!', '!', '! ', '!/', '!!'])}${text}`;
  if (random.chance(4)) text = random.pick([` ${text}`, `${text} `, `\t${text}`, `${text}\t`]);
  return text;
}

/** The text of an ignore file. */
export function ignoreCase(random: Random): string {
  const text = random
    .many(1, random.pick([1, 2, 3, 5]), () => rule(random))
    .join(random.chance(3) ? '\r\n' : '\n');
  return random.chance(3) ? `\ufeff${text}` : text;
}

/** The set of paths as one number. */
function pack(isThere: (path: string) => boolean): string {
  const bits = PATHS.map((path) => (isThere(path) ? '1' : '0')).join('');
  return BigInt(`0b${bits}`).toString(36);
}

/** The paths that a packed set holds. */
export function unpackPaths(packed: string): string[] {
  let bits = 0n;
  for (const digit of packed) bits = bits * 36n + BigInt(Number.parseInt(digit, 36));
  const text = bits.toString(2).padStart(PATHS.length, '0');
  return PATHS.filter((_, i) => text[i] === '1');
}

export function ignoreOfBuilder(builder: Builder, cases: readonly string[]): Promise<string[]> {
  return inParallel(cases, async (text, home) => {
    const context = join(home, 'context');
    if (!existsSync(context)) makeTree(context);
    writeFileSync(join(context, '.dockerignore'), text);
    const listed = await buildFiles(builder, home, 'FROM scratch\nCOPY . /\n', listTree);
    if (listed === undefined) return 'error';
    const there = new Set(listed.map((entry) => entry.replace(/[:@].*|\/$/, '')));
    return pack((path) => there.has(path));
  });
}

/** @param context a directory with the tree */
export function ignoreOfTsbuild(context: string, statRoot: string, text: string): string {
  const there = new Set<string>();
  try {
    const tree = new LocalContext(context, parseIgnoreFile(text), { statRoot });
    const visit = (dir: string) => {
      for (const name of tree.list(dir)) {
        const path = dir === '' ? name : `${dir}/${name}`;
        there.add(path);
        if (tree.lookup(path)?.type === 'directory') visit(path);
      }
    };
    visit('');
  } catch (error) {
    if (error instanceof BuildError) return 'error';
    throw error;
  }
  return pack((path) => there.has(path));
}
