import { compileMatch, HARMLESS_STARS } from './linear-match.js';

/** Go's classes, which know ASCII only. */
const CLASSES: Readonly<Record<string, string>> = {
  d: '[0-9]',
  D: '[^0-9]',
  s: '[\\t\\n\\f\\r ]',
  S: '[^\\t\\n\\f\\r ]',
  w: '[0-9A-Za-z_]',
  W: '[^0-9A-Za-z_]',
};
const CONTROLS: Readonly<Record<string, string>> = {
  a: '\x07',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
/** In groups, so that they are refused where many stars are matched one character after the other. */
const ASSERTIONS: Readonly<Record<string, string>> = { A: '(?:^)', b: '(?:\\b)', B: '(?:\\B)', z: '(?:$)' };

const TOKEN =
  /\\x\{[0-9A-Fa-f]{1,6}\}|\\x[0-9A-Fa-f]{2}|\\0[0-7]{0,2}|\\[1-7][0-7]{1,2}|\\[^]|\[\^?(?:\\[^]|[^\\\]])*\]|\{\d+(?:,\d*)?\}|[^]/g;

/**
 * A test for a path with an expression in Go's syntax as moby/patternmatcher writes it, put between `^` and `$`: what a
 * backslash makes of a letter there, it makes of it in an ignore file. A `|` parts the anchors, too: `a|b` is what begins with
 * `a`, or ends in `b`. @throws SyntaxError for what Go does not take
 */
export function compileGoExpression(source: string): (path: string) => boolean {
  refuseRepetitions(source);
  const alternatives: string[][] = [[]];
  for (const [token] of source.matchAll(TOKEN)) {
    if (token === '|') alternatives.push([]);
    else add(alternatives.at(-1)!, token);
  }
  const last = alternatives.length - 1;
  const tests = alternatives.map((parts, i) =>
    compileMatch(`${i > 0 ? '.*' : ''}${joined(parts)}${i < last ? '.*' : ''}`, 's'),
  );
  return (path) => tests.some((test) => test(path));
}

const WRITTEN_ASSERTIONS = new Set(Object.values(ASSERTIONS));
const isAssertion = (part: string) => WRITTEN_ASSERTIONS.has(part);
/** The place of a repetition that changes nothing, or leaves nothing. */
const NOTHING = '';

/** Adds a character, class, assertion or repetition. */
function add(parts: string[], token: string): void {
  const before = parts.at(-1);
  const [, least, comma, most = comma ? 'Infinity' : least] = /^\{(\d+)(,?)(\d+)?\}$/.exec(token) ?? [];
  if (least === undefined || before === undefined || /^[*+?)]$/.test(before))
    return void parts.push(least === undefined ? translated(token) : token);
  if (before === NOTHING) throw new SyntaxError('it repeats a repetition');
  const isNothing = isAssertion(before) ? Number(least) === 0 : Number(most) === 0;
  if (isNothing) parts.pop();
  parts.push(isNothing || isAssertion(before) ? NOTHING : token);
}

/**
 * No assertion twice at one place, as often as it may be written there: V8 takes twice the time and memory for each that follows
 * another, and ends the process when it has none left.
 */
function joined(parts: readonly string[]): string {
  const here = new Set<string>();
  let text = '';
  for (const part of parts) {
    if (here.has(part)) continue;
    text += part;
    if (isAssertion(part)) here.add(part);
    else if (part !== NOTHING) here.clear();
  }
  return text;
}

/** Repeated counts beside stars, and a regular expression may try every way to share a name among them. */
function refuseRepetitions(source: string): void {
  const repetitions = source.match(/\{\d+(?:,\d*)?\}/g) ?? [];
  if (repetitions.some((text) => text.match(/\d+/g)!.some((count) => Number(count) > 1000)))
    throw new SyntaxError('it repeats more than 1000 times');
  const open = repetitions.filter((text) => text.includes(',')).length;
  if (open > 0 && open + source.split('*').length - 1 > HARMLESS_STARS)
    throw new SyntaxError('it has many repetitions');
}

function translated(token: string): string {
  if (token.startsWith('\\')) return escape(token);
  if (token.startsWith('[') && token.length > 1) return classOf(token);
  return token === '{' || token === '}' ? `\\${token}` : token;
}

/** Outside of a class. */
function escape(token: string): string {
  const letter = token[1]!;
  return token.length === 2 && letter in ASSERTIONS
    ? ASSERTIONS[letter]!
    : token.length === 2 && letter in CLASSES
      ? CLASSES[letter]!
      : character(token);
}

function classOf(token: string): string {
  return token.replace(/\\x\{[0-9A-Fa-f]{1,6}\}|\\x[0-9A-Fa-f]{2}|\\[0-7]{1,3}|\\[^]/g, (inner) => {
    const { [inner[1]!]: known } = CLASSES;
    if (known?.startsWith('[^')) throw new SyntaxError(`"${inner}" in brackets is not supported`);
    return known && inner.length === 2 ? known.slice(1, -1) : character(inner);
  });
}

/** One character that is written with a backslash. */
function character(token: string): string {
  const letter = token[1]!;
  if (token.length === 2 && letter in CONTROLS) return CONTROLS[letter]!;
  if (token.length === 2 && /[!-/:-@[-`{-~\s]/.test(letter)) return quoted(letter);
  const octal = /^\\(0[0-7]{0,2}|[1-7][0-7]{1,2})$/.exec(token)?.[1];
  const hexadecimal = /^\\x\{?([0-9A-Fa-f]+)\}?$/.exec(token)?.[1];
  if (octal === undefined && hexadecimal === undefined)
    throw new SyntaxError(`"${token}" means nothing; a backslash belongs before what is no letter or digit`);
  const code = octal === undefined ? Number.parseInt(hexadecimal!, 16) : Number.parseInt(octal, 8);
  if (code > 0xffff) throw new SyntaxError(`"${token}" is not supported`);
  return quoted(String.fromCharCode(code));
}

function quoted(char: string): string {
  return /[!-/:-@[-^`{-~]/.test(char) ? `\\${char}` : char;
}
