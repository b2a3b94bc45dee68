import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../src/errors.js';
import { convertText } from '../unit/frontend/convert-text.js';
import { batchesOf, build, type Builder, BuildFailure, inParallel, settle } from './tables/builder.js';
import type { Random } from './tables/random.js';

const SETTINGS = [
  'ENV A=val',
  'ENV E=',
  'ENV S="x y"',
  "ENV D='$A'",
  'ENV Q=\'"q"\'',
  'ENV P=/p/a.txt',
  'ENV _u9=under',
].join('\n');
const VARIABLES = ['A', 'A', 'E', 'S', 'D', 'Q', 'P', 'U', 'U', '_u9', 'AB'];
const PLAIN = [
  'a',
  'b',
  'z9',
  '-',
  '.',
  '/',
  ':',
  '_',
  '+',
  '#',
  '}',
  '{',
  '=',
  ',',
  'é',
  '?',
  '%',
  '@',
  '*',
  '!',
  '~',
];

interface Place {
  readonly escape: string;
  readonly depth: number;
  readonly quote: '' | '"' | "'";
}

function piece(random: Random, place: Place): string {
  const roll = random.below(100);
  if (place.quote === "'") {
    if (roll < 50) return random.pick(PLAIN);
    return random.pick(['$A', '${A}', '${U:-x}', ' ', '"', place.escape, `${place.escape}$`, '$']);
  }
  if (roll < 26) return random.pick(PLAIN);
  if (roll < 40) return `$${random.pick(VARIABLES)}`;
  if (roll < 68) return braced(random, place);
  if (roll < 77) return place.escape + random.pick(['$', '"', "'", place.escape, 'a', ' ', '{', '}', 'n']);
  if (roll < 81)
    return random.pick(['$', '$$', '$1', '$12', '$*', '$@', '$#', '$?', '$-', '$ ', '$!', '$.', '$0a', '$é']);
  if (roll < 84 && (place.quote !== '' || random.chance(20))) return random.pick([' ', '  ', "'", 'x y']);
  if (place.quote !== '' || place.depth > 2) return random.pick(PLAIN);
  const quote = random.pick(['"', '"', "'"] as const);
  return quote + pieces(random, { ...place, quote }, 0, 4) + (random.chance(97) ? quote : '');
}

function braced(random: Random, place: Place): string {
  const name = random.chance(96)
    ? random.pick(VARIABLES)
    : random.pick(['1', '10', '*', '@', '', 'é', 'A B', '#', '$A', '?']);
  if (random.chance(25) || place.depth > 2) return `\${${name}}`;
  const operator = random.pick([
    ':-',
    ':-',
    ':-',
    ':+',
    ':+',
    ':+',
    '-',
    '+',
    '#',
    '##',
    '%',
    '%%',
    '/',
    '//',
    '?',
    ':?',
    ':?',
    ':',
    '=',
    ':=',
    '^',
    ',',
  ]);
  const isRare = /^(:|:?[?=]|[,^])$/.test(operator);
  if (isRare && random.chance(65)) return `\${${name}}`;
  const close = random.chance(98) ? '}' : '';
  const word = () => pieces(random, { ...place, depth: place.depth + 1 }, 0, 3);
  const replacement = operator.startsWith('/') && random.chance(95) ? `/${word()}` : '';
  return `\${${name}${operator}${word()}${replacement}${close}`;
}

function pieces(random: Random, place: Place, least: number, most: number): string {
  return random.many(least, most, () => piece(random, place)).join('');
}

/** An instruction that gives a value to `K`, perhaps after a sign that the escape character is a backquote. */
export function expansionCase(random: Random): string {
  const escape = random.chance(12) ? '`' : '\\';
  let text = pieces(random, { escape, depth: 0, quote: '' }, random.pick([1, 2]), random.pick([2, 4, 6]));
  const form = random.pick(['ENV K=', 'ENV K=', 'ENV K=', 'LABEL K=', 'LABEL K=', 'ENV K ']);
  // More words would be more settings, and an escape character at the end continues the line.
  if (/\s/.test(text) && form !== 'ENV K ') text = text.replaceAll('=', ':');
  text = text.trim().replace(/[\\`\s]+$/, '') || 'a';
  return `${escape === '`' ? '`' : ''}${form}${text}`;
}

function dockerfileOf(cases: readonly string[]): string {
  const lines = cases.map((text, i) => text.replace(/^`/, '').replace(/ K(?=[= ])/, ` K${i}`));
  const directive = cases[0]?.startsWith('`') ? '# escape=`\n' : '';
  return `${directive}FROM scratch\n${SETTINGS}\n${lines.join('\n')}\n`;
}

/** The values that a config has for the cases, each after a `=`. */
function valuesIn(config: Config, cases: readonly string[]): string[] {
  return cases.map((text, i) => {
    const name = `K${i}`;
    const value = text.includes('LABEL K')
      ? config.Labels?.[name]
      : config.Env?.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
    return value === undefined ? 'nothing' : `=${value}`;
  });
}

interface Config {
  readonly Env?: readonly string[] | null;
  readonly Labels?: Readonly<Record<string, string>> | null;
}

const BATCH = 60;

/** Many cases are one build, without those that `standsAlone` says will fail. */
export async function expansionOfBuilder(
  builder: Builder,
  cases: readonly string[],
  standsAlone: (text: string) => Promise<boolean>,
): Promise<string[]> {
  const alone: string[] = [];
  const together: string[] = [];
  const withBackquote: string[] = [];
  for (const text of cases)
    ((await standsAlone(text)) ? alone : text.startsWith('`') ? withBackquote : together).push(text);
  const batches = [...batchesOf(together, BATCH), ...batchesOf(withBackquote, BATCH), ...batchesOf(alone, 1)];
  const found = new Map<string, string>();
  const images = new Set<string>();
  await inParallel(batches, (batch, home) => {
    const context = join(home, 'context');
    mkdirSync(context, { recursive: true });
    const attempt = async (some: readonly string[]) => {
      const image = await build(builder, home, dockerfileOf(some), [context]);
      if (image instanceof BuildFailure) return image;
      images.add(image);
      const { stdout } = await builder.docker('inspect', '--format', '{{json .Config}}', image);
      return valuesIn(JSON.parse(stdout) as Config, some);
    };
    return settle(batch, attempt, found);
  });
  for (const some of batchesOf([...images], 100)) await builder.docker('rmi', ...some);
  return cases.map((text) => found.get(text)!);
}

export async function expansionOfTsbuild(text: string): Promise<string> {
  try {
    const { targets } = await convertText(dockerfileOf([text]));
    return valuesIn(targets[0]!.config.config ?? {}, [text])[0]!;
  } catch (error) {
    if (error instanceof BuildError) return 'error';
    throw error;
  }
}
