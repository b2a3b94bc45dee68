import { BuildError } from '../errors.js';
import { limitHint, LIMITS } from '../oci/limits.js';
import { compileMatch } from './linear-match.js';

/** Whether COPY would treat `pattern` as a wildcard: `*`, `?` or `[` that no backslash takes its meaning. */
export function hasWildcard(pattern: string): boolean {
  return /(^|[^\\])(\\\\)*[*?[]/.test(pattern);
}

const MOST_COMPILED = 1000;
const compiled = new Map<string, (name: string) => boolean>();

/**
 * Go's filepath.Match: `*` and `?` do not cross '/', the classes `[a-z]` and `[^a]` may, a backslash takes the meaning away.
 * The whole name must match. @throws INVALID_VALUE for a malformed pattern
 */
export function matchPath(pattern: string, name: string): boolean {
  let matches = compiled.get(pattern);
  if (!matches) {
    // A regular expression that is far larger fails when it is first used.
    if (pattern.length > LIMITS.pathBytes) throw tooLong(pattern);
    matches = compileMatch(pathPatternSource(pattern), 'su');
    if (compiled.size >= MOST_COMPILED) compiled.clear();
    compiled.set(pattern, matches);
  }
  return matches(name);
}

/** @throws INVALID_VALUE for a malformed pattern */
export function checkPathPattern(pattern: string): void {
  pathPatternSource(pattern);
}

/** Whether a class of `pattern` matches the `/` between two names. */
export function canMatchSlash(pattern: string): boolean {
  const classes = pathPatternSource(pattern).match(/\[(?:\\.|[^\\\]])*\]/gu) ?? [];
  return classes.some((text) => text !== '[^/]' && new RegExp(text, 'su').test('/'));
}

/** Go's filepath.Clean. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else if (part !== '..' || !rooted) parts.push(part);
  }
  const cleaned = parts.join('/');
  return rooted ? `/${cleaned}` : cleaned || '.';
}

/** Whether Go's filepath.Match takes `pattern`. */
export function isPathPattern(pattern: string): boolean {
  try {
    pathPatternSource(pattern);
    return true;
  } catch (error) {
    if (error instanceof BuildError) return false;
    throw error;
  }
}

function pathPatternSource(pattern: string): string {
  let source = '';
  const characters = [...pattern];
  for (let i = 0; i < characters.length; i++) {
    const char = characters[i]!;
    if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const end = classEnd(characters, i, pattern);
      source += classSource(characters.slice(i + 1, end), pattern);
      i = end;
    } else if (char === '\\') {
      if (++i === characters.length) throw malformed(pattern);
      source += quote(characters[i]!);
    } else source += quote(char);
  }
  return source;
}

function classEnd(characters: readonly string[], start: number, pattern: string): number {
  for (let i = start + 1 + (characters[start + 1] === '^' ? 1 : 0); i < characters.length; i++) {
    if (characters[i] === '\\') i++;
    else if (characters[i] === ']') return i;
  }
  throw malformed(pattern);
}

function classSource(inner: readonly string[], pattern: string): string {
  const negated = inner[0] === '^';
  const items = negated ? inner.slice(1) : inner;
  if (items.length === 0) throw malformed(pattern);
  let source = '';
  for (let i = 0; i < items.length; i++) {
    if (items[i] === '-') throw malformed(pattern);
    if (items[i] === '\\') i++;
    const low = items[i]!;
    if (items[i + 1] !== '-') {
      source += quoteInClass(low);
      continue;
    }
    i += 2;
    if (items[i] === '-') throw malformed(pattern);
    if (items[i] === '\\') i++;
    const high = items[i];
    if (high === undefined) throw malformed(pattern);
    if (low <= high) source += `${quoteInClass(low)}-${quoteInClass(high)}`;
  }
  if (source === '') return negated ? '[^]' : '(?!)';
  return `[${negated ? '^' : ''}${source}]`;
}

function quote(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}

function quoteInClass(char: string): string {
  return /[\\\]^[-]/.test(char) ? `\\${char}` : char;
}

function tooLong(pattern: string): BuildError {
  const shown = `${pattern.slice(0, 100)}…`;
  return new BuildError('INVALID_VALUE', `the pattern "${shown}" is longer than a path can be`, {
    hint: limitHint('pathBytes'),
  });
}

function malformed(pattern: string): BuildError {
  return new BuildError('INVALID_VALUE', `the pattern "${pattern}" is malformed`, {
    hint: 'close every "[", or put a backslash before it where it is part of a name',
  });
}
