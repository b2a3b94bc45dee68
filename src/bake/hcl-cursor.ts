import { errorAt, type SourceText, type Span } from './source-text.js';
import type { BuildError } from '../errors.js';

const IDENTIFIER = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy;
const NUMBER = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const BLANKS = /(?:[ \t\r]|\/\*[^]*?\*\/)+/y;
const COMMENT = /(?:#|\/\/)[^\n]*/y;

/** How deep expressions may nest. */
const DEEPEST = 200;

/** A place in a text of HCL that moves forward. */
export class Cursor {
  position: number;
  /** In brackets a line end is a blank. */
  private brackets = 0;
  private depth = 0;

  constructor(
    readonly source: SourceText,
    position = 0,
    readonly end = source.text.length,
    /** In JSON a text is decoded before templates are looked for in it. */
    readonly isJson = false,
    /** The place of everything here, where the text is not as it stands in the file. */
    private readonly place?: Span,
  ) {
    this.position = position;
  }

  get isAtEnd(): boolean {
    return this.position >= this.end;
  }

  /** The characters from here. */
  peek(length = 1): string {
    return this.source.text.slice(this.position, Math.min(this.end, this.position + length));
  }

  at(text: string): boolean {
    return this.peek(text.length) === text;
  }

  /** Moves over `text` when it is here. */
  take(text: string): boolean {
    if (!this.at(text)) return false;
    this.position += text.length;
    return true;
  }

  expect(text: string, where: string): void {
    if (!this.take(text)) throw this.unexpected(`expected "${text}" ${where}`);
  }

  /** Moves over blanks and comments, in brackets over line ends too. */
  skip(): void {
    for (;;) {
      const before = this.position;
      this.match(BLANKS);
      this.match(COMMENT);
      if (this.brackets > 0) this.take('\n');
      if (this.position === before) return;
    }
  }

  /** Moves over blanks, comments and line ends. */
  skipLines(): void {
    do this.skip();
    while (this.take('\n'));
  }

  inBrackets<T>(inner: () => T): T {
    return this.withBrackets(this.brackets + 1, inner);
  }

  /** The body of a template is a text of its own: what is around it does not count. */
  outsideBrackets<T>(inner: () => T): T {
    return this.withBrackets(0, inner);
  }

  private withBrackets<T>(brackets: number, inner: () => T): T {
    const before = this.brackets;
    this.brackets = brackets;
    try {
      return inner();
    } finally {
      this.brackets = before;
    }
  }

  /** @throws BAKE_SYNTAX where expressions nest too deep for the stack */
  nested<T>(inner: () => T): T {
    if (++this.depth > DEEPEST) throw this.syntax(`expressions nest deeper than ${DEEPEST} levels`);
    try {
      return inner();
    } finally {
      this.depth -= 1;
    }
  }

  identifier(): string | undefined {
    return this.match(IDENTIFIER);
  }

  /** An identifier that is exactly this. */
  takeWord(word: string): boolean {
    const before = this.position;
    if (this.identifier() === word) return true;
    this.position = before;
    return false;
  }

  number(): string | undefined {
    return this.match(NUMBER);
  }

  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.source.text)?.[0];
    if (found === undefined || found === '' || this.position + found.length > this.end) return undefined;
    this.position += found.length;
    return found;
  }

  spanFrom(start: number): Span {
    return this.place ?? { source: this.source, start, end: this.position };
  }

  syntax(message: string, hint?: string, start = this.position): BuildError {
    const span = this.place ?? { source: this.source, start, end: Math.max(this.position, start + 1) };
    return errorAt(span, message, { code: 'BAKE_SYNTAX', ...(hint === undefined ? {} : { hint }) });
  }

  unexpected(expected: string, hint?: string): BuildError {
    const found = this.isAtEnd
      ? 'the end of the file'
      : this.at('\n')
        ? 'the end of the line'
        : `"${this.peek()}"`;
    return this.syntax(`${expected}, found ${found}`, hint);
  }
}
