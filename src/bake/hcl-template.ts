import type { Expression, TemplatePart } from './hcl-ast.js';
import type { Cursor } from './hcl-cursor.js';

type ParseExpression = (cursor: Cursor) => Expression;

/** A part while its neighbors' strip markers may still cut it. */
type Piece =
  | { kind: 'text'; text: string }
  | { kind: 'interpolation'; expression: Expression }
  | { kind: 'directive'; directive: Directive; start: number };

type Directive =
  | { word: 'if'; condition: Expression }
  | { word: 'else' | 'endif' | 'endfor' }
  | { word: 'for'; keyName?: string; valueName: string; collection: Expression };

export interface TemplateForm {
  /** True where the text ends; the cursor stays before what ends it. */
  readonly isOver: (cursor: Cursor) => boolean;
  /** Backslashes escape, as in quotes. */
  readonly hasEscapes: boolean;
  /** `<<-`: the indentation that all lines share is cut. */
  readonly isIndented?: boolean;
}

/** The parts of a template: `${expression}`, `%{if}`, `%{for}` and the text between. @throws BAKE_SYNTAX */
export function parseTemplate(
  cursor: Cursor,
  form: TemplateForm,
  parseExpression: ParseExpression,
): TemplatePart[] {
  const pieces = readPieces(cursor, form, parseExpression);
  if (form.isIndented) cutIndentation(pieces);
  const rest = { pieces, next: 0 };
  const parts = assemble(rest, cursor, []);
  const extra = pieces[rest.next];
  if (extra?.kind === 'directive')
    throw cursor.syntax(`"${extra.directive.word}" has nothing that it belongs to`, undefined, extra.start);
  return parts;
}

function readPieces(cursor: Cursor, form: TemplateForm, parseExpression: ParseExpression): Piece[] {
  const pieces: Piece[] = [];
  let text = '';
  let stripsNext = false;
  const endText = (stripsEnd: boolean) => {
    let kept = stripsNext ? text.replace(/^\s+/, '') : text;
    if (stripsEnd) kept = kept.replace(/\s+$/, '');
    if (kept !== '') pieces.push({ kind: 'text', text: kept });
    text = '';
  };
  while (!form.isOver(cursor)) {
    const start = cursor.position;
    if (cursor.take('$${')) text += '${';
    else if (cursor.take('%%{')) text += '%{';
    else if (cursor.at('${') || cursor.at('%{')) {
      const isDirective = cursor.at('%{');
      cursor.position += 2;
      endText(cursor.take('~'));
      const piece: Piece = cursor.inBrackets(() =>
        isDirective
          ? { kind: 'directive', directive: readDirective(cursor, parseExpression), start }
          : { kind: 'interpolation', expression: parseExpression(cursor) },
      );
      pieces.push(piece);
      cursor.inBrackets(() => cursor.skip());
      stripsNext = cursor.take('~');
      cursor.expect('}', `at the end of "${isDirective ? '%{' : '${'}"`);
    } else if (form.hasEscapes && cursor.at('\\')) text += readEscape(cursor);
    else {
      text += cursor.peek();
      cursor.position += 1;
    }
  }
  endText(false);
  return pieces;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' };

function readEscape(cursor: Cursor): string {
  const start = cursor.position;
  const hex = cursor.match(/\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}/y);
  if (hex !== undefined) {
    const code = Number.parseInt(hex.slice(2), 16);
    if (code > 0x10ffff) throw cursor.syntax(`"${hex}" is no character`, undefined, start);
    return String.fromCodePoint(code);
  }
  const escaped = ESCAPES[cursor.peek(2).slice(1)];
  if (escaped === undefined)
    throw cursor.syntax(`"${cursor.peek(2)}" is no escape`, 'write \\\\ for a backslash', start);
  cursor.position += 2;
  return escaped;
}

function readDirective(cursor: Cursor, parseExpression: ParseExpression): Directive {
  cursor.skip();
  const start = cursor.position;
  const word = cursor.identifier();
  if (word === 'if') return { word, condition: parseExpression(cursor) };
  if (word === 'else' || word === 'endif' || word === 'endfor') return { word };
  if (word === 'for') return { word, ...parseForIntroduction(cursor, parseExpression) };
  throw cursor.syntax(
    `"${word ?? cursor.peek()}" is no directive`,
    'write %{if}, %{for}, %{else}, %{endif} or %{endfor}',
    start,
  );
}

/** `k, v in collection`, after the word `for`. */
export function parseForIntroduction(
  cursor: Cursor,
  parseExpression: ParseExpression,
): { keyName?: string; valueName: string; collection: Expression } {
  const name = () => {
    cursor.skip();
    const found = cursor.identifier();
    if (found === undefined) throw cursor.unexpected('expected a name after "for"');
    cursor.skip();
    return found;
  };
  const first = name();
  const second = cursor.take(',') ? name() : undefined;
  if (!cursor.takeWord('in')) throw cursor.unexpected('expected "in"');
  const collection = parseExpression(cursor);
  return second === undefined
    ? { valueName: first, collection }
    : { keyName: first, valueName: second, collection };
}

interface Rest {
  readonly pieces: readonly Piece[];
  next: number;
}

/** Parts until a directive of `ends`, which stays. */
function assemble(rest: Rest, cursor: Cursor, ends: readonly string[]): TemplatePart[] {
  const parts: TemplatePart[] = [];
  for (; rest.next < rest.pieces.length; rest.next++) {
    const piece = rest.pieces[rest.next]!;
    if (piece.kind !== 'directive') parts.push(piece);
    else if (piece.directive.word === 'if' || piece.directive.word === 'for')
      parts.push(cursor.nested(() => assembleBlock(rest, cursor)));
    else if (ends.includes(piece.directive.word) || ends.length === 0) return parts;
    else
      throw cursor.syntax(
        `"${piece.directive.word}" where "${ends.join('" or "')}" is missing`,
        undefined,
        piece.start,
      );
  }
  if (ends.length > 0) throw cursor.syntax(`the template ends without "%{${ends.at(-1)}}"`);
  return parts;
}

function assembleBlock(rest: Rest, cursor: Cursor): TemplatePart {
  const { directive } = rest.pieces[rest.next] as Piece & { kind: 'directive' };
  rest.next += 1;
  const word = () => (rest.pieces[rest.next] as Piece & { kind: 'directive' }).directive.word;
  if (directive.word === 'for') {
    const { word: _, ...introduction } = directive;
    return { kind: 'for', ...introduction, body: assemble(rest, cursor, ['endfor']) };
  }
  const { condition } = directive as Directive & { word: 'if' };
  const whenTrue = assemble(rest, cursor, ['else', 'endif']);
  if (word() === 'endif') return { kind: 'if', condition, whenTrue, whenFalse: [] };
  rest.next += 1;
  return { kind: 'if', condition, whenTrue, whenFalse: assemble(rest, cursor, ['endif']) };
}

/** Lines that are empty do not count. */
function cutIndentation(pieces: Piece[]): void {
  const atLineStart = (i: number) => {
    const before = pieces[i - 1];
    return before === undefined || (before.kind === 'text' && before.text.endsWith('\n'));
  };
  let least = Infinity;
  pieces.forEach((piece, i) => {
    if (piece.kind !== 'text') {
      if (atLineStart(i)) least = 0;
      return;
    }
    const lines = piece.text.split('\n');
    lines.forEach((line, row) => {
      const isWhole = row < lines.length - 1;
      const isLast = row === lines.length - 1 && i === pieces.length - 1;
      if ((row === 0 && !atLineStart(i)) || (line.trim() === '' && (isWhole || isLast))) return;
      least = Math.min(least, /^[ \t]*/.exec(line)![0].length);
    });
  });
  if (least === Infinity || least === 0) return;
  pieces.forEach((piece, i) => {
    if (piece.kind !== 'text') return;
    const lines = piece.text.split('\n');
    const startsLine = atLineStart(i);
    const cut = (line: string) => line.slice(Math.min(least, /^[ \t]*/.exec(line)![0].length));
    pieces[i] = {
      kind: 'text',
      text: lines.map((line, row) => (row > 0 || startsLine ? cut(line) : line)).join('\n'),
    };
  });
}
