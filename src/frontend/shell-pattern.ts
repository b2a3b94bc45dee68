import { BuildError } from '../errors.js';

/** One character of a shell pattern: itself, any one (`?`), or any number of any (`*`). */
type Token =
  { readonly kind: 'one'; readonly char: string } | { readonly kind: 'any' } | { readonly kind: 'many' };

/**
 * Shell patterns (`*`, `?`, `\\`) by a set of states that moves over the text once: a regular expression would try every way to
 * share the text among the stars, which takes for ever with a dozen of them.
 */
class StateSet {
  readonly #tokens: readonly Token[];
  #states = new Set<number>();

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
    this.#enter(0, this.#states);
  }

  get isMatch(): boolean {
    return this.#states.has(this.#tokens.length);
  }

  get isDead(): boolean {
    return this.#states.size === 0;
  }

  /** Lets a match start here, too. */
  start(): void {
    this.#enter(0, this.#states);
  }

  move(char: string): void {
    const next = new Set<number>();
    for (const state of this.#states) {
      const token = this.#tokens[state];
      if (token?.kind === 'one') {
        if (token.char === char) this.#enter(state + 1, next);
      } else if (token && char !== '\n') this.#enter(token.kind === 'many' ? state : state + 1, next);
    }
    this.#states = next;
  }

  #enter(state: number, into: Set<number>): void {
    for (let at = state; !into.has(at); at++) {
      into.add(at);
      if (this.#tokens[at]?.kind !== 'many') return;
    }
  }
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const characters = [...pattern];
  for (let i = 0; i < characters.length; i++) {
    const char = characters[i]!;
    if (char === '*') {
      if (tokens.at(-1)?.kind !== 'many') tokens.push({ kind: 'many' });
    } else if (char === '?') tokens.push({ kind: 'any' });
    else tokens.push({ kind: 'one', char: char === '\\' ? escaped(pattern, characters[++i]) : char });
  }
  return tokens;
}

/** BuildKit's rule: another escape is an error. */
function escaped(pattern: string, char: string | undefined): string {
  if (char !== undefined && '*?\\}/'.includes(char)) return char;
  throw new BuildError(
    'EXPANSION_FAILED',
    `invalid pattern (${pattern}) in substitution: invalid escape "\\${char ?? ''}"`,
    { hint: 'a backslash stands before *, ?, another backslash, } or / only' },
  );
}

/** Where a match that starts at `from` ends: first or last; undefined where none does. */
function matchEnd(
  tokens: readonly Token[],
  text: readonly string[],
  from: number,
  wanted: 'shortest' | 'longest',
): number | undefined {
  const states = new StateSet(tokens);
  let end = states.isMatch ? from : undefined;
  for (let at = from; at < text.length && !states.isDead; at++) {
    if (end !== undefined && wanted === 'shortest') return end;
    states.move(text[at]!);
    if (states.isMatch) end = at + 1;
  }
  return end;
}

/** `${x#p}` and `${x%p}`; doubled, the longest match goes. @throws EXPANSION_FAILED for an escape that means nothing */
export function trimPattern(value: string, word: string, side: '#' | '%'): string {
  const isDoubled = word.startsWith(side);
  const tokens = tokensOf(isDoubled ? word.slice(1) : word);
  const text = [...value];
  const wanted = isDoubled ? 'longest' : 'shortest';
  if (side === '#') return text.slice(matchEnd(tokens, text, 0, wanted) ?? 0).join('');
  // From the end the pattern is read backwards.
  const length = matchEnd(tokens.toReversed(), text.toReversed(), 0, wanted) ?? 0;
  return text.slice(0, text.length - length).join('');
}

/**
 * `${x/p/r}` and, for all matches, `${x//p/r}`: the leftmost match, the longest there.
 * @throws EXPANSION_FAILED for an escape that means nothing
 * @returns more than `most` characters, not all of them, where the result is longer
 */
export function replacePattern(
  value: string,
  pattern: string,
  { replacement, all, most }: { readonly replacement: string; readonly all: boolean; readonly most: number },
): string {
  const tokens = tokensOf(pattern);
  const text = [...value];
  const starts = matchStarts(tokens, text);
  const parts: string[] = [];
  let length = 0;
  const add = (part: string) => {
    parts.push(part);
    length += part.length;
  };
  const written = all ? withoutGroups(replacement) : replacement;
  let at = 0;
  let lastEnd = -1;
  while (at <= text.length && length <= most) {
    const end = starts[at] ? matchEnd(tokens, text, at, 'longest') : undefined;
    if (end === undefined || (end === at && at === lastEnd)) {
      if (at < text.length) add(text[at]!);
      at += 1;
      continue;
    }
    add(written);
    lastEnd = end;
    if (!all) return parts.join('') + text.slice(end).join('');
    if (end === at && at < text.length) add(text[at]!);
    at = Math.max(end, at + 1);
  }
  return parts.join('');
}

/** BuildKit replaces all with Go's templates, in which `$name` is a group that the pattern does not have. */
function withoutGroups(replacement: string): string {
  return replacement.replace(/\$(?:\$|[\p{L}\p{Nd}_]+|\{[\p{L}\p{Nd}_]+\})/gu, (found) =>
    found === '$$' ? '$' : '',
  );
}

/** For each position whether a match starts there: the pattern backwards over the text backwards, starting everywhere. */
function matchStarts(tokens: readonly Token[], text: readonly string[]): boolean[] {
  const starts = new Array<boolean>(text.length + 1);
  const states = new StateSet(tokens.toReversed());
  starts[text.length] = states.isMatch;
  for (let at = text.length - 1; at >= 0; at--) {
    states.move(text[at]!);
    states.start();
    starts[at] = states.isMatch;
  }
  return starts;
}
