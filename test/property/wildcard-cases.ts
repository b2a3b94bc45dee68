import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../src/errors.js';
import { planCopy } from '../../src/worker/ops/copy-plan.js';
import { WorkTree } from '../../src/worker/ops/work-tree.js';
import { LocalContext } from '../../src/worker/source/local-context.js';
import { convertText } from '../unit/frontend/convert-text.js';
import { batchesOf, type Builder, buildFiles, inParallel, settle } from './tables/builder.js';
import type { Random } from './tables/random.js';
import { blurredPath, listTree, makeTree } from './tables/tree.js';

const NAMES = [
  'a',
  'a',
  'b',
  'ab',
  'abc',
  'foo',
  'foo',
  'bar',
  'bar',
  'baz',
  'a.txt',
  '.hidden',
  '.x',
  'lnk',
  'c.md',
];
const WILD = [
  '*',
  '*',
  '*',
  '?',
  'a*',
  '*b',
  '*.txt',
  '[a-c]',
  '[ab]*',
  '[^a]*',
  'a?',
  '.*',
  '*.*',
  '??',
  'f*',
  'b*',
];
const ODD = [
  '**',
  '\\*',
  'a\\*',
  '[a]',
  '[\\[]a]',
  '\\[a]',
  '[!a]',
  '[a-a]b',
  '*o*',
  'f*o',
  '[^a-f]*',
  'l*',
  'b?r',
  '*z',
];
const ODDER = [
  'é',
  '?.hidden',
  '$v',
  '${v}*',
  '$w',
  '[$v]',
  'e*',
  '#c',
  '!d',
  '[b-a]',
  '[.]*',
  'b\\\\*',
  '{a,b}',
  '[!#]*',
];
const SPACED = ['a b', 'a *', '* b', 'c d', '[ ab]*', 'a[ ]b', 'c?d', '*\\ *'];
const BROKEN = ['[', '[]', 'a\\', '[a', '[]a]', '[^]', '[a-]', '[-a]'];

function part(random: Random, isQuoted: boolean): string {
  const roll = random.below(100);
  if (roll < 40) return random.pick(NAMES);
  if (roll < 80) return random.pick(WILD);
  if (roll < 88) return random.pick(ODD);
  if (roll < 93) return random.pick(ODDER);
  if (roll < 96 && isQuoted) return random.pick(SPACED);
  if (roll < 99) return random.pick(['.', '..', 'a\\\\b', '"a"*', "'*'", '"*"']);
  return random.pick(BROKEN);
}

function source(random: Random, isQuoted: boolean): string {
  const near = random.chance(60) ? blurredPath(random) : ' ';
  let text =
    isQuoted || !near.includes(' ')
      ? near
      : random.many(1, random.pick([1, 2, 2, 3]), () => part(random, isQuoted)).join('/');
  if (text === ' ') text = random.pick(SPACED);
  if (!/[*?[]/.test(text) && random.chance(60)) text += random.pick(['*', '/*', '?', '/*/a']);
  if (random.chance(4)) text = text.replace('/', '//');
  if (random.chance(8)) text = `/${text}`;
  if (random.chance(4)) text = `./${text}`;
  if (random.chance(6)) text += '/';
  if (random.chance(3)) text += '/.';
  return text;
}

/** What follows COPY: sources and a destination, in one of the two forms. */
export function wildcardCase(random: Random): string {
  const isQuoted = random.chance(25);
  const words = random.many(1, random.pick([1, 1, 1, 2]), () => source(random, isQuoted));
  words.push(random.chance(85) || words.length > 1 ? '/o/' : '/o');
  const flag = random.chance(50) ? FROM_STAGE : '';
  return flag + (isQuoted ? JSON.stringify(words) : words.join(' '));
}

const FROM_STAGE = '--from=tree ';
const BATCH = 20;

function dockerfileOf(cases: readonly string[]): string {
  const copies = cases.map((text, i) => `COPY ${text.replace(/\/o(?=\/?("\])?$)/, `/o${i}`)}`);
  return `FROM scratch AS tree\nCOPY . /\nFROM scratch\nENV v=a w="[ab]*"\n${copies.join('\n')}\n`;
}

/**
 * Copies from the context are builds of their own, for what is sent depends on all of them; so are those that
 * `standsAlone` says will fail.
 */
export async function wildcardOfBuilder(
  builder: Builder,
  cases: readonly string[],
  standsAlone: (text: string) => Promise<boolean>,
): Promise<string[]> {
  const alone: string[] = [];
  const together: string[] = [];
  for (const text of cases)
    (!text.startsWith(FROM_STAGE) || (await standsAlone(text)) ? alone : together).push(text);
  const found = new Map<string, string | undefined>();
  await inParallel([...batchesOf(together, BATCH), ...batchesOf(alone, 1)], (batch, home) => {
    const context = join(home, 'context');
    if (!existsSync(context)) makeTree(context);
    const attempt = async (some: readonly string[]) => {
      const listed = await buildFiles(builder, home, dockerfileOf(some), listTree);
      return listed && some.map((_, i) => belowDestination(listed, i));
    };
    return settle(batch, attempt, found);
  });
  return cases.map((text) => found.get(text) ?? 'error');
}

/** Entries at and below the destination `/o` of a number, as one string. */
function belowDestination(listed: readonly string[], place: number): string {
  const name = `o${place}`;
  return listed
    .filter((entry) => entry.startsWith(name) && '/:@'.includes(entry[name.length]!))
    .map((entry) => entry.slice(name.length))
    .sort()
    .join(' ');
}

/** @param context a directory with the tree */
export async function wildcardOfTsbuild(context: string, statRoot: string, copy: string): Promise<string> {
  const work = new WorkTree(undefined);
  try {
    const { definition, targets } = await convertText(dockerfileOf([copy]));
    const { op } = definition.vertices.get(targets[0]!.head!.vertex)!;
    if (op.kind !== 'file') throw new Error(`COPY became ${op.kind}`);
    const tree = new LocalContext(context, [], { statRoot });
    for (const action of op.actions) {
      if (action.kind !== 'copy') throw new Error(`COPY became ${action.kind}`);
      await planCopy(work, tree, action, { unpack: () => Promise.resolve(false), note: () => undefined });
    }
  } catch (error) {
    if (error instanceof BuildError) return 'error';
    throw error;
  }
  const listed = work.entries().map(({ entry, content }) => {
    if (entry.type === 'directory') return `${entry.path}/`;
    if (entry.type === 'symlink') return `${entry.path}@${entry.linkName}`;
    if (!content || content instanceof Uint8Array) throw new Error(`${entry.path} has no file behind it`);
    return `${entry.path}:${readFileSync(content.path, 'utf8')}`;
  });
  return belowDestination(listed, 0);
}
