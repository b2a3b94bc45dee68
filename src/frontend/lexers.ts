import { BuildError } from '../errors.js';

/** What the rest of a line after its keyword and flags is. */
export interface LexedArguments {
  readonly args: readonly string[];
  readonly json: boolean;
}

type Lexer = (rest: string, escape: string, keyword: string) => LexedArguments;

const SPACE = /[\t\n\v\f\r \u0085\u00a0]/;

/** Leading words that start with `--`, quotes and backslashes taken away; `--` ends them. */
export function splitFlags(text: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && SPACE.test(text[at]!)) at++;
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) };
    const { word, end } = readFlag(text, at);
    if (word === '--') return { flags, rest: text.slice(end) };
    if (word !== '') flags.push(word);
    at = end;
  }
}

function readFlag(text: string, from: number): { word: string; end: number } {
  let word = '';
  let quote = '';
  for (let at = from; at < text.length; at++) {
    const char = text[at]!;
    if (quote === '' && SPACE.test(char)) return { word, end: at };
    if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else if (char === '\\') word += text[++at] ?? '';
    else word += char;
  }
  return { word, end: text.length };
}

/** Words with quotes and escapes kept in them. */
function splitWords(text: string, escape: string): string[] {
  const words: string[] = [];
  let word = '';
  let isWord = false;
  let quote = '';
  const end = () => {
    if (isWord) words.push(word);
    [word, isWord] = ['', false];
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quote === '' && SPACE.test(char)) {
      end();
      continue;
    }
    if (quote === '' && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = '';
    else if (char === escape && quote !== "'") {
      if (at + 1 === text.length) continue;
      word += char + text[++at]!;
      isWord = true;
      continue;
    }
    word += char;
    isWord = true;
  }
  end();
  return words;
}

function splitBlanks(text: string): string[] {
  return text.split(/[\t\n\v\f\r \u0085\u00a0]+/).filter((word) => word !== '');
}

const lexString: Lexer = (rest) => ({ args: rest === '' ? [] : [rest], json: false });

const lexBlanks: Lexer = (rest) => ({ args: splitBlanks(rest), json: false });

/** ENV and LABEL: triples of name, value and separator. */
const lexPairs: Lexer = (rest, escape, keyword) => {
  const words = splitWords(rest, escape);
  if (words.length === 0) return { args: [], json: false };
  if (!words[0]!.includes('=')) {
    const match = /^(\S+?)[\t\v\f\r ]+(.*)$/s.exec(rest);
    if (!match)
      throw new BuildError('DOCKERFILE_SYNTAX', `${keyword} must have two arguments`, {
        hint: `write ${keyword} name=value`,
      });
    return { args: [match[1]!, match[2]!, ''], json: false };
  }
  const args = words.flatMap((word) => {
    const equals = word.indexOf('=');
    if (equals >= 0) return [word.slice(0, equals), word.slice(equals + 1), '='];
    throw new BuildError(
      'DOCKERFILE_SYNTAX',
      `Syntax error - can't find = in "${word}". Must be of the form: name=value`,
      {
        hint: 'put quotes around a value with blanks',
      },
    );
  });
  return { args, json: false };
};

const lexWords: Lexer = (rest, escape) => ({ args: splitWords(rest, escape), json: false });

const lexJsonOrString: Lexer = (rest, escape, keyword) => jsonArray(rest) ?? lexString(rest, escape, keyword);
const lexJsonOrBlanks: Lexer = (rest, escape, keyword) => jsonArray(rest) ?? lexBlanks(rest, escape, keyword);

/** A JSON array of strings; undefined where the text is none, which makes it shell form. */
function jsonArray(rest: string): LexedArguments | undefined {
  if (!rest.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(rest);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (value.every((item): item is string => typeof item === 'string')) return { args: value, json: true };
  throw new BuildError(
    'DOCKERFILE_SYNTAX',
    'when using JSON array syntax, arrays must be comprised of strings only',
  );
}

const lexHealthcheck: Lexer = (rest, escape, keyword) => {
  const match = /^(\S+)\s*(.*)$/s.exec(rest);
  if (!match) return { args: [], json: false };
  const command = match[2] === '' ? { args: [], json: false } : lexJsonOrString(match[2]!, escape, keyword);
  return { args: [match[1]!, ...command.args], json: command.json };
};

const LEXERS: Readonly<Record<string, Lexer>> = {
  ADD: lexJsonOrBlanks,
  ARG: lexWords,
  CMD: lexJsonOrString,
  COPY: lexJsonOrBlanks,
  ENTRYPOINT: lexJsonOrString,
  ENV: lexPairs,
  EXPOSE: lexBlanks,
  FROM: lexBlanks,
  HEALTHCHECK: lexHealthcheck,
  LABEL: lexPairs,
  MAINTAINER: lexString,
  RUN: lexJsonOrString,
  SHELL: lexJsonOrString,
  STOPSIGNAL: lexString,
  USER: lexString,
  VOLUME: lexJsonOrBlanks,
  WORKDIR: lexString,
};

/** Every keyword that a Dockerfile knows. */
export const KEYWORDS: readonly string[] = [...Object.keys(LEXERS), 'ONBUILD'].sort();

/** Lexes by the rules of the keyword; an unknown one has no arguments. */
export function lexArguments(keyword: string, rest: string, escape: string): LexedArguments {
  const lexer = LEXERS[keyword];
  return lexer ? lexer(rest, escape, keyword) : { args: [''], json: false };
}
