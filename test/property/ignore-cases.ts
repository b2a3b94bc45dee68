import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../src/errors.js';
import { parseIgnoreFile } from '../../src/graph/pattern-matcher.js';
import { LocalContext } from '../../src/worker/source/local-context.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { batchesOf, type Builder, BuildFailure, buildFiles, inParallel, settle } from './tables/builder.js';
import type { Random } from './tables/random.js';
import { blurredPath, makeTree, PATHS } from './tables/tree.js';

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

const BATCH = 20;

/**
 * Many cases are one build, without those that `standsAlone` says will fail. Each has a context of its own, with a name that
 * no other had: BuildKit keeps what was sent under a name, for the next of that name.
 */
export async function ignoreOfBuilder(
  builder: Builder,
  cases: readonly string[],
  standsAlone: (text: string) => boolean,
): Promise<string[]> {
  const main = tmpDir();
  const found = new Map<string, string>();
  const prefix = `c${process.pid}n`;
  let made = 0;
  const attemptIn = (home: string) => async (some: readonly string[]) => {
    const named = new Map(some.map((text) => [`${prefix}${made++}`, contextWith(home, text)]));
    const copies = [...named.keys()].map((name, i) => `COPY --from=${name} . /r${i}/`);
    const dockerfile = ['FROM scratch', ...copies, ''].join('\n');
    const listed = await buildFiles(builder, home, dockerfile, { main, named });
    for (const context of named.values()) rmSync(context, { recursive: true });
    if (listed instanceof BuildFailure) return listed;
    const there = new Set(listed.map((entry) => entry.replace(/[:@].*|\/$/, '')));
    return some.map((_, i) => pack((path) => there.has(`r${i}/${path}`)));
  };
  const [alone, together] = [cases.filter(standsAlone), cases.filter((text) => !standsAlone(text))];
  await inParallel([...batchesOf(together, BATCH), ...batchesOf(alone, 1)], (batch, home) =>
    settle(batch, attemptIn(home), found),
  );
  return cases.map((text) => found.get(text)!);
}

function contextWith(home: string, ignoreFile: string): string {
  const context = makeTree(mkdtempSync(join(home, 'context-')));
  writeFileSync(join(context, '.dockerignore'), ignoreFile);
  return context;
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
