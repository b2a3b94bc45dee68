import { BuildError } from '../errors.js';
import { LIMITS } from '../oci/limits.js';
import { compileGoExpression } from './go-expression.js';
import { cleanPath, isPathPattern } from './path-match.js';

/**
 * The lines of an ignore file that are patterns: comments (`#` in the first column) and empty lines left out, cleaned,
 * without a leading slash, `!` kept in front.
 */
export function parseIgnoreFile(text: string): string[] {
  const patterns: string[] = [];
  for (const raw of (text.startsWith('\ufeff') ? text.slice(1) : text).split('\n')) {
    if (raw.startsWith('#')) continue;
    let pattern = raw.trim();
    if (pattern === '') continue;
    const negated = pattern.startsWith('!');
    if (negated) pattern = pattern.slice(1).trim();
    if (pattern !== '') {
      pattern = cleanPath(pattern);
      if (pattern.length > 1 && pattern.startsWith('/')) pattern = pattern.slice(1);
    }
    patterns.push(negated ? `!${pattern}` : pattern);
  }
  return patterns;
}

interface Pattern {
  readonly text: string;
  readonly negated: boolean;
  /** Of a pattern that matches this name only. */
  readonly plainName?: string;
  readonly matches: (path: string) => boolean;
}

/** Which patterns matched a directory, so that what is below it need not ask again. */
export interface ParentMatch {
  readonly matched: boolean;
  /** Numbers of those patterns, ascending. */
  readonly byPattern: readonly number[];
}

/**
 * moby/patternmatcher's rules: patterns in order, the last match wins, `!` takes a match back, a pattern that matches a
 * directory matches everything below it. Paths are relative and clean.
 */
export class PatternMatcher {
  /** Whether some pattern starts with `!`. */
  readonly hasExclusions: boolean;
  readonly #patterns: readonly Pattern[];
  /** Numbers of the patterns that are plain names, by name: of a hundred thousand, few are asked. */
  readonly #plain = new Map<string, number[]>();
  readonly #others: number[] = [];

  /** @throws DOCKERIGNORE_INVALID for a malformed pattern */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.flatMap((pattern) => {
      const text = pattern.trim();
      return text === '' ? [] : [compile(text)];
    });
    this.hasExclusions = this.#patterns.some((pattern) => pattern.negated);
    this.#patterns.forEach(({ plainName }, i) => {
      if (plainName === undefined) this.#others.push(i);
      else this.#plain.set(plainName, [...(this.#plain.get(plainName) ?? []), i]);
    });
  }

  /** Whether `path` is ignored, by itself or by a directory above it. */
  matches(path: string): boolean {
    return this.#decide(path).matched;
  }

  /** The pattern that had the last word on an ignored `path`. */
  matchingPattern(path: string): string | undefined {
    const { matched, last } = this.#decide(path);
    return matched ? last?.text : undefined;
  }

  #decide(path: string): { matched: boolean; last: Pattern | undefined } {
    const parents = parentsOf(path);
    let matched = false;
    let last: Pattern | undefined;
    for (const pattern of this.#patterns) {
      if (pattern.negated !== matched) continue;
      if (!pattern.matches(path) && !parents.some((parent) => pattern.matches(parent))) continue;
      matched = !pattern.negated;
      last = pattern;
    }
    return { matched, last };
  }

  /** As {@link matches}, with what is known of the parent directory (undefined for the root). */
  matchesBelow(path: string, parent: ParentMatch | undefined): ParentMatch {
    let matched = false;
    const byPattern: number[] = [];
    const above = new Set(parent?.byPattern);
    for (const i of this.#asked(path, above)) {
      const pattern = this.#patterns[i]!;
      const isAsked = pattern.negated === matched;
      if (!above.has(i) && !(isAsked && pattern.matches(path))) continue;
      matched = !pattern.negated;
      byPattern.push(i);
    }
    return { matched, byPattern };
  }

  /** Numbers of the patterns that can match, ascending. */
  #asked(path: string, above: ReadonlySet<number>): readonly number[] {
    const plain = this.#plain.get(path);
    if (!plain && above.size === 0) return this.#others;
    return [...new Set([...this.#others, ...(plain ?? []), ...above])].sort((a, b) => a - b);
  }

  /** Whether nothing below the ignored directory `path` can be taken back by a `!` pattern. */
  canSkipDirectory(path: string): boolean {
    if (!this.hasExclusions) return true;
    const prefix = `${path}/`;
    return this.#patterns.every((pattern) => {
      if (!pattern.negated) return true;
      const text = `${pattern.text.slice(1)}/`;
      const wild = text.search(/[*?[\\]/);
      const fixed = wild < 0 ? text : text.slice(0, wild);
      return !(fixed.startsWith(prefix) || prefix.startsWith(fixed));
    });
  }
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1))
    parents.push(path.slice(0, slash));
  return parents;
}

function compile(written: string): Pattern {
  const negated = written.startsWith('!');
  // With its `!`, so that nothing is left behind that of `!/`.
  const cleaned = cleanPath(written);
  const text = negated ? cleaned.slice(1) : cleaned;
  if (text.length > LIMITS.pathBytes)
    throw malformed(`${written.slice(0, 100)}…`, 'it is longer than a path can be');
  if (negated && text === '') throw malformed(written, 'it has nothing after "!"');
  if (!isPathPattern(text))
    throw malformed(written, 'a "[", a "-" or the last backslash has nothing to go with');
  return { text: written, negated, ...matcherOf(text, written) };
}

/** Exact, prefix (`x/**`) and suffix (`**` + `/x`) patterns are compared as text; these short cuts are part of the rules. */
function matcherOf(text: string, written: string): Pick<Pattern, 'matches' | 'plainName'> {
  const { source, kind } = translate(text);
  if (kind === 'exact') return { plainName: text, matches: (path) => path === text };
  if (kind === 'prefix') return { matches: (path) => path.startsWith(text.slice(0, -2)) };
  if (kind === 'suffix') {
    const suffix = text.slice(2);
    return {
      matches: (path) => path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1)),
    };
  }
  // What is no regular expression is an error of the first path that it is asked about.
  let test: ((path: string) => boolean) | undefined;
  return {
    matches: (path) => {
      try {
        test ??= compileGoExpression(source);
      } catch (error) {
        throw malformed(written, (error as Error).message);
      }
      return test(path);
    },
  };
}

type Kind = 'exact' | 'prefix' | 'suffix' | 'expression';

/** The regular expression that moby/patternmatcher makes of a pattern, in Go's syntax, without the anchors around it. */
function translate(text: string): { source: string; kind: Kind } {
  let source = '';
  let kind: Kind = 'exact';
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === '*') {
      if (text[i + 1] === '*') {
        i += 1;
        if (text[i + 1] === '/') i += 1;
        if (i + 1 === text.length) {
          if (kind === 'exact') kind = 'prefix';
          else {
            source += '.*';
            kind = 'expression';
          }
        } else {
          source += '(.*/)?';
          kind = 'expression';
        }
        if (i === 1 || (i === 2 && text.startsWith('**/'))) kind = i + 1 === text.length ? kind : 'suffix';
      } else {
        source += '[^/]*';
        kind = 'expression';
      }
    } else if (char === '?') {
      source += '[^/]';
      kind = 'expression';
    } else if (char === '\\') {
      source += `\\${text[++i]}`;
      kind = 'expression';
    } else if (char === '[' || char === ']') {
      source += char;
      kind = 'expression';
    } else source += quote(char);
  }
  return { source, kind };
}

/**
 * As moby/patternmatcher, which leaves `^` alone: in brackets it negates. It means to quote `{`, `|` and `}` too, but its
 * table of bits has no place for them.
 */
function quote(char: string): string {
  return /[.+()$]/.test(char) ? `\\${char}` : char;
}

function malformed(pattern: string, why: string): BuildError {
  return new BuildError('DOCKERIGNORE_INVALID', `the ignore pattern "${pattern}" is malformed: ${why}`, {
    hint: 'put a backslash before a character that is part of a name',
  });
}
