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
  const alternatives: string[] = [''];
  for (const [token] of source.matchAll(TOKEN)) {
    if (token === '|') alternatives.push('');
    else alternatives[alternatives.length - 1] += translated(token);
  }
  const last = alternatives.length - 1;
  const tests = alternatives.map((text, i) =>
    compileMatch(`${i > 0 ? '.*' : ''}${text}${i < last ? '.*' : ''}`, 's'),
  );
  return (path) => tests.some((test) => test(path));
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
