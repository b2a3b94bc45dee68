import { createHash, randomUUID } from 'node:crypto';
import { homedir } from 'node:os';
import { posix } from 'node:path';
import { addTime, formatDate, formatText } from './format.js';
import { FunctionArgs } from './function-args.js';
import { fromJson, isEqual, isList, isObject, kindOf, sortedEntries, toJson, type Value } from './value.js';

type HclFunction = (args: FunctionArgs) => Value;

const digest =
  (algorithm: string): HclFunction =>
  (args) =>
    createHash(algorithm).update(args.text(0)).digest('hex');

const numbers =
  (combine: (a: number, b: number) => Value): HclFunction =>
  (args) =>
    combine(args.number(0), args.number(1));

const NUMBERS: Readonly<Record<string, HclFunction>> = {
  absolute: (args) => Math.abs(args.number(0)),
  add: numbers((a, b) => a + b),
  ceil: (args) => Math.ceil(args.number(0)),
  divide: numbers((a, b) => {
    if (b === 0) throw new Error('divides by zero');
    return a / b;
  }),
  floor: (args) => Math.floor(args.number(0)),
  greaterthan: numbers((a, b) => a > b),
  greaterthanorequalto: numbers((a, b) => a >= b),
  int: (args) => Math.trunc(args.number(0)),
  lessthan: numbers((a, b) => a < b),
  lessthanorequalto: numbers((a, b) => a <= b),
  log: numbers((a, b) => Math.log(a) / Math.log(b)),
  max: (args) => Math.max(...args.numbers()),
  min: (args) => Math.min(...args.numbers()),
  modulo: numbers((a, b) => {
    if (b === 0) throw new Error('divides by zero');
    return a % b;
  }),
  multiply: numbers((a, b) => a * b),
  negate: (args) => -args.number(0),
  parseint: (args) => {
    const [text, base] = [args.text(0), args.number(1)];
    const digits = /^[+-]?([0-9a-zA-Z]+)$/.exec(text)?.[1];
    const isDigit = (digit: string) => !Number.isNaN(Number.parseInt(digit, base));
    if (digits === undefined || ![...digits].every(isDigit))
      throw new Error(`"${text}" is no number of base ${base}`);
    return Number.parseInt(text, base);
  },
  pow: numbers((a, b) => a ** b),
  signum: (args) => Math.sign(args.number(0)),
  subtract: numbers((a, b) => a - b),
};

const LOGIC: Readonly<Record<string, HclFunction>> = {
  and: (args) => args.boolean(0) && args.boolean(1),
  or: (args) => args.boolean(0) || args.boolean(1),
  not: (args) => !args.boolean(0),
  equal: (args) => isEqual(args.any(0), args.any(1)),
  notequal: (args) => !isEqual(args.any(0), args.any(1)),
  coalesce: ({ values }) => {
    const found = values.find((value) => value !== null);
    if (found === undefined) throw new Error('has no argument that is not null');
    return found;
  },
};

/** Graphemes, as HCL counts. */
function characters(text: string): string[] {
  return [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
}

/** RE2 writes named groups `(?P<name>…)`. */
function pattern(text: string, flags: string): RegExp {
  try {
    return new RegExp(text.replaceAll('(?P<', '(?<'), flags);
  } catch (error) {
    throw new Error(`"${text}" is no regular expression: ${(error as Error).message}`, { cause: error });
  }
}

/** The whole, where there are no groups; else the groups, by name where they have names. */
function groupsOf(match: RegExpMatchArray): Value {
  if (match.groups) return new Map(Object.entries(match.groups).map(([key, value]) => [key, value ?? null]));
  return match.length === 1 ? match[0]! : match.slice(1).map((group) => group ?? null);
}

function replaceText(args: FunctionArgs): string {
  return args.text(0).replaceAll(args.text(1), () => args.text(2));
}

function replacePattern(args: FunctionArgs): string {
  const replacement = args
    .text(2)
    .replace(/\$\{(\w+)\}|\$(\w+)/g, (_, long: string | undefined, short: string) => {
      const name = long ?? short;
      return /^\d+$/.test(name) ? (name === '0' ? '$&' : `$${name}`) : `$<${name}>`;
    });
  return args.text(0).replace(pattern(args.text(1), 'gu'), replacement);
}

/** Any of the characters of `set`, from both ends. */
function trimSet(text: string, set: string): string {
  const all = [...text];
  while (all.length > 0 && set.includes(all[0]!)) all.shift();
  while (all.length > 0 && set.includes(all.at(-1)!)) all.pop();
  return all.join('');
}

function substring(args: FunctionArgs): string {
  const all = characters(args.text(0));
  const [offset, length] = [args.number(1), args.number(2)];
  const start = offset < 0 ? Math.max(0, all.length + offset) : offset;
  return all.slice(start, length < 0 ? undefined : start + length).join('');
}

const TEXTS: Readonly<Record<string, HclFunction>> = {
  basename: (args) => posix.basename(args.text(0)) || (args.text(0) === '' ? '.' : '/'),
  chomp: (args) => args.text(0).replace(/[\r\n]+$/, ''),
  dirname: (args) => posix.normalize(posix.dirname(args.text(0))),
  format: formatText,
  formatdate: (args) => formatDate(args.text(0), args.text(1)),
  formatlist: (args) => {
    const lists = args.values.slice(1).filter(isList);
    const rounds = lists.length === 0 ? 1 : lists[0]!.length;
    if (lists.some((list) => list.length !== rounds)) throw new Error('takes lists of one length');
    return Array.from({ length: rounds }, (_, i) =>
      formatText(
        new FunctionArgs(args.values.map((value, place) => (place > 0 && isList(value) ? value[i]! : value))),
      ),
    );
  },
  homedir: () => homedir(),
  indent: (args) => args.text(1).replaceAll('\n', `\n${' '.repeat(args.number(0))}`),
  join: (args) =>
    args.values
      .slice(1)
      .flatMap((_, i) => args.texts(i + 1))
      .join(args.text(0)),
  lower: (args) => args.text(0).toLowerCase(),
  regex: (args) => {
    const match = pattern(args.text(0), 'u').exec(args.text(1));
    if (!match) throw new Error(`"${args.text(0)}" matches nothing in "${args.text(1)}"`);
    return groupsOf(match);
  },
  regex_replace: replacePattern,
  regexall: (args) => [...args.text(1).matchAll(pattern(args.text(0), 'gu'))].map(groupsOf),
  replace: replaceText,
  reverse: (args) => characters(args.text(0)).reverse().join(''),
  sanitize: (args) => args.text(0).replace(/[^a-zA-Z0-9_-]/gu, '_'),
  split: (args) => args.text(1).split(args.text(0)),
  strlen: (args) => characters(args.text(0)).length,
  substr: substring,
  timeadd: (args) => addTime(args.text(0), args.text(1)),
  timestamp: () => new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
  title: (args) =>
    args
      .text(0)
      .replace(
        /(^|[^\p{L}\p{N}_'])(\p{L})/gu,
        (_, before: string, letter: string) => before + letter.toUpperCase(),
      ),
  trim: (args) => trimSet(args.text(0), args.text(1)),
  trimprefix: (args) =>
    args.text(0).startsWith(args.text(1)) ? args.text(0).slice(args.text(1).length) : args.text(0),
  trimspace: (args) => args.text(0).trim(),
  trimsuffix: (args) =>
    args.text(1) !== '' && args.text(0).endsWith(args.text(1))
      ? args.text(0).slice(0, -args.text(1).length)
      : args.text(0),
  upper: (args) => args.text(0).toUpperCase(),
};

const CODES: Readonly<Record<string, HclFunction>> = {
  base64decode: (args) => Buffer.from(args.text(0), 'base64').toString('utf8'),
  base64encode: (args) => Buffer.from(args.text(0)).toString('base64'),
  jsondecode: (args) => {
    try {
      return fromJson(JSON.parse(args.text(0)));
    } catch (error) {
      throw new Error(`takes JSON: ${(error as Error).message}`, { cause: error });
    }
  },
  jsonencode: (args) => toJson(args.any(0)),
  md5: digest('md5'),
  sha1: digest('sha1'),
  sha256: digest('sha256'),
  sha512: digest('sha512'),
  /** As Go's query escaping. */
  urlencode: (args) =>
    encodeURIComponent(args.text(0))
      .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
      .replaceAll('%20', '+'),
  uuidv4: () => randomUUID(),
};

function distinct(items: readonly Value[]): Value[] {
  return items.filter((item, i) => items.findIndex((earlier) => isEqual(earlier, item)) === i);
}

function flatten(items: readonly Value[]): Value[] {
  return items.flatMap((item) => (isList(item) ? flatten(item) : [item]));
}

/** A set of texts is sorted; HCL has no other order for it. */
function set(items: readonly Value[]): Value[] {
  const sorted = distinct(items);
  return sorted.every((item) => typeof item === 'number')
    ? sorted.sort((a, b) => a - b)
    : sorted.sort((a, b) => (toJson(a) < toJson(b) ? -1 : 1));
}

const has = (items: readonly Value[], wanted: Value) => items.some((item) => isEqual(item, wanted));

function range(args: FunctionArgs): Value[] {
  const all = args.numbers();
  const [start, end] = all.length === 1 ? [0, all[0]!] : [all[0]!, all[1]!];
  const step = all[2] ?? (end < start ? -1 : 1);
  const count = Math.max(0, Math.ceil((end - start) / step));
  if (step === 0 || count > 1024) throw new Error('would give more than 1024 numbers');
  return Array.from({ length: count }, (_, i) => start + i * step);
}

function product(lists: readonly (readonly Value[])[]): Value[][] {
  return lists.reduce<Value[][]>(
    (rows, list) => rows.flatMap((row) => list.map((item) => [...row, item])),
    [[]],
  );
}

function element(args: FunctionArgs): Value {
  const list = args.list(0);
  if (list.length === 0) throw new Error('takes a list that is not empty');
  const index = args.number(1) % list.length;
  return list[index < 0 ? index + list.length : index]!;
}

function lengthOf(args: FunctionArgs): number {
  const value = args.any(0);
  if (isList(value)) return value.length;
  if (isObject(value)) return value.size;
  throw new Error(`takes a list or an object, not ${kindOf(value)}; strlen counts a text’s characters`);
}

function indexOf(args: FunctionArgs): number {
  const found = args.list(0).findIndex((item) => isEqual(item, args.any(1)));
  if (found < 0) throw new Error('does not find the item');
  return found;
}

function memberOf(args: FunctionArgs): Value | undefined {
  const of = args.any(0);
  if (isObject(of)) return of.get(args.text(1));
  return args.list(0)[args.number(1)];
}

function chunks(args: FunctionArgs): Value[] {
  const [list, size] = [args.list(0), args.number(1) || args.list(0).length];
  return Array.from({ length: Math.ceil(list.length / size) || 0 }, (_, i) =>
    list.slice(i * size, (i + 1) * size),
  );
}

/** Lines of CSV with a heading, without line ends in fields. */
function decodeCsv(text: string): Value[] {
  const rows = text
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
        quoted === undefined ? plain! : quoted.replaceAll('""', '"'),
      ),
    );
  const heading = rows.shift() ?? [];
  return rows.map((row) => new Map(heading.map((name, i) => [name, row[i] ?? ''])));
}

const LISTS: Readonly<Record<string, HclFunction>> = {
  chunklist: chunks,
  coalescelist: (args) => {
    const found = args.values.findIndex((value) => isList(value) && value.length > 0);
    if (found < 0) throw new Error('has no list that is not empty');
    return args.list(found);
  },
  compact: (args) => args.texts(0).filter((text) => text !== ''),
  concat: (args) => args.values.flatMap((_, i) => args.list(i)),
  contains: (args) => has(args.list(0), args.any(1)),
  csvdecode: (args) => decodeCsv(args.text(0)),
  distinct: (args) => distinct(args.list(0)),
  element,
  flatten: (args) => flatten(args.list(0)),
  hasindex: (args) => memberOf(args) !== undefined,
  index: (args) => {
    const value = memberOf(args);
    if (value === undefined) throw new Error('does not find the index');
    return value;
  },
  indexof: indexOf,
  keys: (args) => sortedEntries(args.object(0)).map(([key]) => key),
  length: lengthOf,
  lookup: (args) => {
    const value = args.object(0).get(args.text(1));
    if (value !== undefined) return value;
    if (args.length < 3) throw new Error(`does not find "${args.text(1)}"`);
    return args.any(2);
  },
  merge: (args) => new Map(args.values.flatMap((value, i) => (value === null ? [] : [...args.object(i)]))),
  range,
  reverselist: (args) => args.list(0).toReversed(),
  sethaselement: (args) => has(args.list(0), args.any(1)),
  setintersection: (args) =>
    set(
      args.values
        .slice(1)
        .reduce<readonly Value[]>(
          (left, _, i) => left.filter((item) => has(args.list(i + 1), item)),
          args.list(0),
        ),
    ),
  setproduct: (args) => product(args.values.map((_, i) => args.list(i))),
  setsubtract: (args) => set(args.list(0).filter((item) => !has(args.list(1), item))),
  setsymmetricdifference: (args) =>
    set([
      ...args.list(0).filter((item) => !has(args.list(1), item)),
      ...args.list(1).filter((item) => !has(args.list(0), item)),
    ]),
  setunion: (args) => set(args.values.flatMap((_, i) => args.list(i))),
  slice: (args) => args.list(0).slice(args.number(1), args.length > 2 ? args.number(2) : undefined),
  sort: (args) => args.texts(0).sort((a, b) => (a < b ? -1 : Number(a > b))),
  values: (args) => sortedEntries(args.object(0)).map(([, value]) => value),
  zipmap: (args) => {
    const [names, values] = [args.texts(0), args.list(1)];
    if (names.length !== values.length) throw new Error('takes as many keys as values');
    return new Map(names.map((name, i) => [name, values[i]!]));
  },
};

/** The functions that bake files may call, beside `try` and `can`, which the evaluator knows. */
export const FUNCTIONS: ReadonlyMap<string, HclFunction> = new Map(
  [NUMBERS, LOGIC, TEXTS, CODES, LISTS].flatMap((family) => Object.entries(family)),
);
