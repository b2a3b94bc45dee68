import { BuildError } from '../errors.js';
import { LIMITS } from '../oci/limits.js';
import { replacePattern, trimPattern } from './shell-pattern.js';

export interface ExpansionOptions {
  readonly env: (name: string) => string | undefined;
  readonly escape: '\\' | '`';
  /** Quotes stay quotes, with no meaning: heredoc bodies. */
  readonly skipQuotes?: boolean;
  /** An unset variable stays as written. */
  readonly skipUnset?: boolean;
  /** Quotes have their meaning and stay in the result. */
  readonly rawQuotes?: boolean;
  /** Escape characters stay in the result. */
  readonly rawEscapes?: boolean;
  /** Longest result; default: the limit. */
  readonly mostBytes?: number;
}

export interface Expansion {
  readonly value: string;
  /** The value as words: split at blanks that are neither quoted nor escaped. */
  readonly words: readonly string[];
  /** Names without a value that had no default either. */
  readonly unmatched: readonly string[];
  /** Names with a value. */
  readonly used: readonly string[];
}

/**
 * Quotes, escapes and variables as a Dockerfile has them: `$x`, `${x}`, `${x:-y}` and `-`, `+`, `?` with and without the
 * colon, `#`, `##`, `%`, `%%`, `/`, `//`, nested to any depth.
 * @throws EXPANSION_FAILED, also for what is nested too deep or grows too long
 */
export function expandWord(text: string, options: ExpansionOptions): Expansion {
  const expander = new Expander(text, options);
  const value = expander.until(undefined, false);
  return {
    value,
    words: expander.words.list(),
    unmatched: [...expander.unmatched],
    used: [...expander.used],
  };
}

const SPECIAL_PARAMETERS = '@*#?-$!';

class Expander {
  readonly words = new Words();
  readonly unmatched = new Set<string>();
  readonly used = new Set<string>();
  readonly #text: string[];
  readonly #source: string;
  readonly #options: ExpansionOptions;
  #at = 0;
  #depth = 0;

  constructor(text: string, options: ExpansionOptions) {
    this.#source = text;
    this.#text = [...text];
    this.#options = options;
  }

  /** Reads to the character `stop`, which is consumed, or to the end. */
  until(stop: string | undefined, rawEscapes: boolean): string {
    let result = '';
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]!;
      if (char === stop) {
        this.#at += 1;
        return result;
      }
      if (char === '$') {
        const value = this.#checked(this.#dollar(), result.length);
        this.words.add(value);
        result += value;
      } else if (char === "'" && !this.#options.skipQuotes) {
        result += this.words.addRaw(this.#singleQuoted());
      } else if (char === '"' && !this.#options.skipQuotes) {
        result += this.words.addRaw(this.#doubleQuoted(rawEscapes));
      } else {
        result += this.#plain(char, rawEscapes);
      }
    }
    if (stop !== undefined)
      throw this.#error(`unexpected end of statement while looking for matching ${stop}`);
    return result;
  }

  #plain(char: string, rawEscapes: boolean): string {
    this.#at += 1;
    if (char !== this.#options.escape) {
      this.words.add(char);
      return char;
    }
    let result = '';
    if (this.#options.rawEscapes || rawEscapes) result += this.words.addRaw(char);
    const next = this.#text[this.#at];
    if (next === undefined) return result;
    this.#at += 1;
    return result + this.words.addRaw(next);
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw this.#error('unexpected end of statement while looking for matching single-quote');
    const inner = this.#text.slice(this.#at + 1, end).join('');
    this.#at = end + 1;
    return this.#options.rawQuotes ? `'${inner}'` : inner;
  }

  #doubleQuoted(isOperand: boolean): string {
    const rawEscapes = this.#options.rawEscapes || isOperand;
    const quote = this.#options.rawQuotes ? '"' : '';
    let result = quote;
    this.#at += 1;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined)
        throw this.#error('unexpected end of statement while looking for matching double-quote');
      if (char === '"') {
        this.#at += 1;
        return result + quote;
      }
      if (char === '$') {
        result += this.#checked(this.#dollar(), result.length);
        continue;
      }
      this.#at += 1;
      const next = this.#text[this.#at];
      if (char !== this.#options.escape || next === undefined) {
        result += char;
      } else if (next === '"' || next === '$' || next === this.#options.escape) {
        result += rawEscapes ? char + next : next;
        this.#at += 1;
      } else {
        // BuildKit keeps an escape that means nothing twice where it keeps escapes at all.
        result += (rawEscapes ? char + char : char) + next;
        this.#at += 1;
      }
    }
  }

  #dollar(): string {
    this.#at += 1;
    if (this.#text[this.#at] !== '{') {
      const name = this.#name();
      if (name === '') return '$';
      const value = this.#lookup(name);
      if (value === undefined && this.#options.skipUnset) return `$${name}`;
      if (value === undefined) this.unmatched.add(name);
      return value ?? '';
    }
    this.#at += 1;
    const first = this.#text[this.#at];
    if (first === undefined) throw this.#error("syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') throw this.#error('syntax error: bad substitution');
    return this.#braced(this.#name());
  }

  #braced(name: string): string {
    let operator = this.#text[this.#at++];
    if (operator === undefined) throw this.#error("syntax error: missing '}'");
    const value = this.#lookup(name);
    if (operator === '}') {
      if (value === undefined && this.#options.skipUnset) return `\${${name}}`;
      if (value === undefined) this.unmatched.add(name);
      return value ?? '';
    }
    let written = operator;
    let emptyIsUnset = false;
    if (operator === ':') {
      emptyIsUnset = true;
      operator = this.#text[this.#at++];
      if (operator === undefined) throw this.#error("syntax error: missing '}'");
      written += operator;
      if (operator === '#' || operator === '%')
        throw this.#error(`unsupported modifier (${written}) in substitution`);
    }
    if ('+-?'.includes(operator) || (!emptyIsUnset && '#%'.includes(operator))) {
      const word = this.#operand('}', operator === '#' || operator === '%');
      if (value === undefined && this.#options.skipUnset) return `\${${name}${written}${word}}`;
      return this.#modified(name, value, { operator, emptyIsUnset, word });
    }
    if (operator === '/' && !emptyIsUnset) return this.#replaced(name, value);
    throw this.#error(`unsupported modifier (${written}) in substitution`);
  }

  #modified(
    name: string,
    value: string | undefined,
    modifier: { operator: string; emptyIsUnset: boolean; word: string },
  ): string {
    const { operator, emptyIsUnset, word } = modifier;
    const isSet = value !== undefined && !(emptyIsUnset && value === '');
    switch (operator) {
      case '-':
        return isSet ? value : word;
      case '+':
        return isSet ? word : '';
      case '?':
        if (isSet) return value;
        throw this.#error(
          `${name}: ${word || (value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty')}`,
        );
      default:
        if (value === undefined) this.unmatched.add(name);
        return trimPattern(value ?? '', word, operator as '#' | '%');
    }
  }

  #replaced(name: string, value: string | undefined): string {
    const all = this.#text[this.#at] === '/';
    if (all) this.#at += 1;
    const pattern = this.#operand('/', true);
    const replacement = this.#operand('}', true);
    if (value === undefined && this.#options.skipUnset)
      return `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}`;
    if (value === undefined) this.unmatched.add(name);
    return this.#checked(replacePattern(value ?? '', pattern, { replacement, all, most: this.#most() }), 0);
  }

  #operand(stop: string, rawEscapes: boolean): string {
    const words = this.words.mark();
    if (++this.#depth > LIMITS.expansionDepth)
      throw this.#error(`braces are nested deeper than ${LIMITS.expansionDepth}`);
    try {
      return this.until(stop, rawEscapes);
    } catch (error) {
      if (this.#at >= this.#text.length)
        throw this.#error(
          stop === '}' ? "syntax error: missing '}'" : `syntax error: missing '${stop}' in \${}`,
        );
      throw error;
    } finally {
      this.#depth -= 1;
      this.words.reset(words);
    }
  }

  /** A value, where the result stays short enough with it. */
  #checked(value: string, lengthSoFar: number): string {
    if (lengthSoFar + value.length <= this.#most()) return value;
    throw this.#error(`it expands to more than ${this.#most()} bytes`);
  }

  #most(): number {
    return this.#options.mostBytes ?? LIMITS.expandedBytes;
  }

  #lookup(name: string): string | undefined {
    const value = this.#options.env(name);
    if (value !== undefined) this.used.add(name);
    return value;
  }

  /** A name, digits, or one special parameter. */
  #name(): string {
    let name = '';
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at]!;
      if (name === '' && /[0-9]/.test(char)) {
        while (/[0-9]/.test(this.#text[this.#at] ?? '')) name += this.#text[this.#at++];
        return name;
      }
      if (name === '' && SPECIAL_PARAMETERS.includes(char)) {
        this.#at += 1;
        return char;
      }
      if (!/[\p{L}\p{Nd}_]/u.test(char)) break;
      name += char;
    }
    return name;
  }

  #error(why: string): BuildError {
    const shown = this.#source.length > 500 ? `${this.#source.slice(0, 500)}…` : this.#source;
    return new BuildError('EXPANSION_FAILED', `failed to process "${shown}": ${why}`);
  }
}

/** Collects words while text is read; raw characters never split. */
class Words {
  #done: string[] = [];
  #word = '';

  add(text: string): void {
    for (const char of text) {
      if (!/\s/.test(char)) this.#word += char;
      else if (!HEREDOC_START.test(this.#word)) this.#end();
    }
  }

  addRaw(text: string): string {
    this.#word += text;
    return text;
  }

  mark(): { done: number; word: string } {
    return { done: this.#done.length, word: this.#word };
  }

  /** Forgets what was added since `mark`: operands become words only through the value that they give. */
  reset({ done, word }: { done: number; word: string }): void {
    this.#done.length = done;
    this.#word = word;
  }

  list(): string[] {
    this.#end();
    return this.#done;
  }

  #end(): void {
    if (this.#word !== '') this.#done.push(this.#word);
    this.#word = '';
  }
}

/** Blanks between `<<` and a heredoc's name do not end the word. */
const HEREDOC_START = /^\d*<<-?$/;
