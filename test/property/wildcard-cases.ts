import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError, type ErrorCode } from '../../src/errors.js';
import { planCopy } from '../../src/worker/ops/copy-plan.js';
import { contentOf, WorkTree } from '../../src/worker/ops/work-tree.js';
import { LocalContext } from '../../src/worker/source/local-context.js';
import { convertText } from '../unit/frontend/convert-text.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { batchesOf, type Builder, BuildFailure, buildFiles, inParallel, settle } from './tables/builder.js';
import type { Random } from './tables/random.js';
import { blurredPath, makeTree } from './tables/tree.js';

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
const BATCH = 40;

/**
 * The stage, which every case's build needs, takes the whole context, so that all of it is sent: else BuildKit fails or leaves
 * files out by what the other instructions need of the context (docs/compatibility.md).
 */
function dockerfileOf(cases: readonly string[]): string {
  const copies = cases.map((text, i) => `COPY ${text.replace(/\/o(?=\/?("\])?$)/, `/o${i}`)}`);
  return [
    'FROM scratch AS tree',
    'COPY . /',
    'FROM scratch',
    'ENV v=a w="[ab]*"',
    'COPY --from=tree a.txt /whole',
    ...copies,
    '',
  ].join('\n');
}

/**
 * Many cases are one build, one build at a time, without those that `standsAlone` says will fail; with those there is no result that
 * builds could take from each other.
 */
export async function wildcardOfBuilder(
  builder: Builder,
  cases: readonly string[],
  standsAlone: (text: string) => Promise<boolean>,
): Promise<string[]> {
  const alone: string[] = [];
  const together: string[] = [];
  for (const text of cases) ((await standsAlone(text)) ? alone : together).push(text);
  const context = makeTree(join(tmpDir(), 'context'));
  const found = new Map<string, string>();
  const attemptIn = (home: string) => async (some: readonly string[]) => {
    const listed = await buildFiles(builder, home, dockerfileOf(some), { main: context });
    return listed instanceof BuildFailure ? listed : some.map((_, i) => belowDestination(listed, i));
  };
  await inParallel(alone, async (text, home) => {
    const result = await attemptIn(home)([text]);
    if (result instanceof BuildFailure) found.set(text, classOf(result.message));
    else together.push(text);
  });
  const home = tmpDir();
  for (const batch of batchesOf(together, BATCH)) await settle(batch, attemptIn(home), found, classOf);
  return cases.map((text) => found.get(text)!);
}

const CLASS_OF_CODE: Readonly<Partial<Record<ErrorCode, string>>> = {
  COPY_SOURCE_NOT_FOUND: 'error: not found',
  INVALID_VALUE: 'error: malformed',
  FILE_OPERATION_FAILED: 'error: no directory',
};

function classOf(message: string): string {
  if (/: not found|no such file|lstat .*: not a directory/.test(message)) return 'error: not found';
  if (/syntax error in pattern/.test(message)) return 'error: malformed';
  if (/cannot copy to non-directory/.test(message)) return 'error: no directory';
  return `error: ${message.trim()}`;
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
    const kind = error instanceof BuildError ? CLASS_OF_CODE[error.code] : undefined;
    if (kind === undefined) throw error;
    return kind;
  }
  const listed = [...work.takeEntries()].map((planned) => {
    const { entry } = planned;
    const content = contentOf(planned);
    if (entry.type === 'directory') return `${entry.path}/`;
    if (entry.type === 'symlink') return `${entry.path}@${entry.linkName}`;
    if (!content || content instanceof Uint8Array) throw new Error(`${entry.path} has no file behind it`);
    return `${entry.path}:${readFileSync(content.path, 'utf8')}`;
  });
  return belowDestination(listed, 0);
}
