import { SPLAT_ELEMENT, type BinaryOperator, type Expression, type ObjectItem } from './hcl-ast.js';
import { Cursor } from './hcl-cursor.js';
import { parseForIntroduction, parseTemplate, type TemplateForm } from './hcl-template.js';

/** An expression from here to where none can go on. @throws BAKE_SYNTAX */
export function parseExpression(cursor: Cursor): Expression {
  return cursor.nested(() => parseConditional(cursor));
}

/** All of a text as a template: what a string of JSON holds. */
function parseTemplateText(cursor: Cursor): Expression {
  const start = cursor.position;
  return templateFrom(cursor, start, { isOver: (at) => at.isAtEnd, hasEscapes: false });
}

function parseConditional(cursor: Cursor): Expression {
  cursor.skip();
  const start = cursor.position;
  const condition = parseBinary(cursor, 0);
  if (!skipTo(cursor, ['?'])) return condition;
  const whenTrue = parseExpression(cursor);
  cursor.skip();
  cursor.expect(':', 'of the conditional');
  const whenFalse = parseExpression(cursor);
  return { kind: 'conditional', condition, whenTrue, whenFalse, span: cursor.spanFrom(start) };
}

/** Weakest first; of operators that begin alike, the longer first. */
const LEVELS: readonly (readonly BinaryOperator[])[] = [
  ['||'],
  ['&&'],
  ['==', '!='],
  ['<=', '>=', '<', '>'],
  ['+', '-'],
  ['*', '/', '%'],
];

function parseBinary(cursor: Cursor, level: number): Expression {
  const operators = LEVELS[level];
  if (!operators) return parseUnary(cursor);
  const start = cursor.position;
  let left = parseBinary(cursor, level + 1);
  for (;;) {
    const operator = skipTo(cursor, operators);
    if (!operator) return left;
    cursor.skip();
    const right = parseBinary(cursor, level + 1);
    left = { kind: 'binary', operator, left, right, span: cursor.spanFrom(start) };
  }
}

/** Moves over blanks and one of the operators; without one stays, since a line end may count. */
function skipTo<T extends string>(cursor: Cursor, operators: readonly T[]): T | undefined {
  const before = cursor.position;
  cursor.skip();
  const operator = operators.find((candidate) => cursor.take(candidate));
  if (operator === undefined) cursor.position = before;
  return operator;
}

function parseUnary(cursor: Cursor): Expression {
  cursor.skip();
  const start = cursor.position;
  for (const operator of ['-', '!'] as const)
    if (cursor.take(operator)) {
      const of = cursor.nested(() => parseUnary(cursor));
      return { kind: 'unary', operator, of, span: cursor.spanFrom(start) };
    }
  return parsePostfix(cursor, parseTerm(cursor), start);
}

function parsePostfix(cursor: Cursor, term: Expression, start: number): Expression {
  let expression = term;
  for (;;) {
    if (cursor.at('.') && !cursor.at('...')) {
      cursor.take('.');
      if (cursor.take('*')) return parseSplat(cursor, expression, start, false);
      expression = parseAttributeOf(cursor, expression, start);
    } else if (cursor.at('[')) {
      cursor.take('[');
      if (cursor.take('*]')) return parseSplat(cursor, expression, start, true);
      const key = cursor.inBrackets(() => {
        const inner = parseExpression(cursor);
        cursor.skip();
        cursor.expect(']', 'after the index');
        return inner;
      });
      expression = { kind: 'index', of: expression, key, span: cursor.spanFrom(start) };
    } else return expression;
  }
}

/** `.name`, or `.0` as older HCL wrote an index. */
function parseAttributeOf(cursor: Cursor, of: Expression, start: number): Expression {
  const name = cursor.identifier();
  if (name !== undefined) return { kind: 'attribute', of, name, span: cursor.spanFrom(start) };
  const digits = cursor.match(/\d+/y);
  if (digits === undefined) throw cursor.unexpected('expected a name after "."');
  const span = cursor.spanFrom(start);
  return { kind: 'index', of, key: { kind: 'literal', value: Number(digits), span }, span };
}

function parseSplat(cursor: Cursor, of: Expression, start: number, takesIndexes: boolean): Expression {
  const from = cursor.position;
  let each: Expression = { kind: 'variable', name: SPLAT_ELEMENT, span: cursor.spanFrom(from) };
  if (takesIndexes) each = parsePostfix(cursor, each, from);
  else while (cursor.at('.') && cursor.take('.')) each = parseAttributeOf(cursor, each, from);
  const splat: Expression = { kind: 'splat', of, each, span: cursor.spanFrom(start) };
  return takesIndexes ? splat : parsePostfix(cursor, splat, start);
}

function parseTerm(cursor: Cursor): Expression {
  const start = cursor.position;
  if (cursor.at('"')) return cursor.isJson ? parseJsonText(cursor) : parseQuoted(cursor);
  if (cursor.at('<<')) return parseHeredoc(cursor);
  if (cursor.take('(')) {
    return cursor.inBrackets(() => {
      const inner = parseExpression(cursor);
      cursor.skip();
      cursor.expect(')', 'to close "("');
      return inner;
    });
  }
  if (cursor.take('[')) return cursor.inBrackets(() => parseList(cursor, start));
  if (cursor.take('{')) return cursor.inBrackets(() => parseObject(cursor, start));
  const digits = cursor.number();
  if (digits !== undefined) return { kind: 'literal', value: Number(digits), span: cursor.spanFrom(start) };
  const name = cursor.identifier();
  if (name === undefined) throw cursor.unexpected('expected a value');
  const span = cursor.spanFrom(start);
  if (name === 'true' || name === 'false') return { kind: 'literal', value: name === 'true', span };
  if (name === 'null') return { kind: 'literal', value: null, span };
  if (cursor.take('(')) return cursor.inBrackets(() => parseCall(cursor, name, start));
  return { kind: 'variable', name, span };
}

function parseCall(cursor: Cursor, name: string, start: number): Expression {
  const args: Expression[] = [];
  let expandsLast = false;
  for (;;) {
    cursor.skip();
    if (cursor.take(')')) break;
    args.push(parseExpression(cursor));
    cursor.skip();
    if (cursor.take('...')) {
      expandsLast = true;
      cursor.skip();
      cursor.expect(')', 'after "..."');
      break;
    }
    if (cursor.take(',')) continue;
    cursor.expect(')', `after the arguments of "${name}"`);
    break;
  }
  return { kind: 'call', name, args, expandsLast, span: cursor.spanFrom(start) };
}

function parseList(cursor: Cursor, start: number): Expression {
  cursor.skip();
  if (isFor(cursor)) return parseFor(cursor, start, ']');
  const items: Expression[] = [];
  for (;;) {
    cursor.skip();
    if (cursor.take(']')) break;
    items.push(parseExpression(cursor));
    cursor.skip();
    if (cursor.take(',')) continue;
    if (!cursor.take(']'))
      throw cursor.unexpected('expected "," or "]" in the list', 'put a comma between the items');
    break;
  }
  return { kind: 'list', items, span: cursor.spanFrom(start) };
}

function isFor(cursor: Cursor): boolean {
  const before = cursor.position;
  const isWord = cursor.takeWord('for') && /^\s/.test(cursor.peek());
  cursor.position = before;
  return isWord;
}

function parseFor(cursor: Cursor, start: number, close: ']' | '}'): Expression {
  cursor.takeWord('for');
  const introduction = parseForIntroduction(cursor, parseExpression);
  cursor.skip();
  cursor.expect(':', 'of "for"');
  const first = parseExpression(cursor);
  cursor.skip();
  let value = first;
  if (close === '}') {
    cursor.expect('=>', 'between key and value');
    value = parseExpression(cursor);
    cursor.skip();
  }
  const isGrouped = close === '}' && cursor.take('...');
  cursor.skip();
  const condition = cursor.takeWord('if') ? parseExpression(cursor) : undefined;
  cursor.skip();
  cursor.expect(close, 'at the end of "for"');
  return {
    kind: 'for',
    ...introduction,
    value,
    ...(close === '}' ? { key: first } : {}),
    ...(condition ? { condition } : {}),
    isGrouped,
    span: cursor.spanFrom(start),
  };
}

function parseObject(cursor: Cursor, start: number): Expression {
  cursor.skip();
  if (isFor(cursor)) return parseFor(cursor, start, '}');
  const items: ObjectItem[] = [];
  // Between the items a line end counts as a comma, but for JSON.
  const within = <T>(inner: () => T) => (cursor.isJson ? inner() : cursor.outsideBrackets(inner));
  for (;;) {
    cursor.skip();
    if (cursor.take('}')) break;
    const item = within(() => {
      const key = parseKey(cursor);
      cursor.skip();
      if (!cursor.take(':') && !cursor.take('=')) throw cursor.unexpected('expected "=" after the key');
      const value = parseExpression(cursor);
      cursor.skip();
      return { key, value };
    });
    items.push(item);
    if (cursor.take(',') || (!cursor.isJson && cursor.take('\n'))) continue;
    cursor.skip();
    if (cursor.take(',')) continue;
    if (!cursor.take('}'))
      throw cursor.unexpected(
        'expected "," or "}" in the object',
        'put a comma or a line end between the items',
      );
    break;
  }
  return { kind: 'object', items, span: cursor.spanFrom(start) };
}

/** A name that stands alone is itself the key. */
function parseKey(cursor: Cursor): Expression {
  const start = cursor.position;
  const name = cursor.identifier();
  const span = cursor.spanFrom(start);
  cursor.skip();
  if (name !== undefined && (cursor.at('=') || cursor.at(':'))) return { kind: 'literal', value: name, span };
  cursor.position = start;
  return parseExpression(cursor);
}

function parseQuoted(cursor: Cursor): Expression {
  const start = cursor.position;
  cursor.take('"');
  const isOver = (at: Cursor) => {
    if (at.isAtEnd || at.at('\n'))
      throw at.syntax(
        'the text has no closing quote',
        'close it in its line, or write a heredoc: <<EOT',
        start,
      );
    return at.at('"');
  };
  const template = templateFrom(cursor, start, { isOver, hasEscapes: true });
  cursor.take('"');
  return { ...template, span: cursor.spanFrom(start) };
}

const JSON_TEXT = /"(?:[^"\\\n]|\\.)*"/y;

/** JSON is decoded first: `\"` inside of `${…}` is a quote. */
function parseJsonText(cursor: Cursor): Expression {
  const start = cursor.position;
  const written = cursor.match(JSON_TEXT);
  if (written === undefined) throw cursor.syntax('the text has no closing quote');
  const span = cursor.spanFrom(start);
  let text: string;
  try {
    text = JSON.parse(written) as string;
  } catch (error) {
    throw cursor.syntax(`${written} is not JSON: ${(error as Error).message}`, undefined, start);
  }
  if (!text.includes('{')) return { kind: 'literal', value: text, span };
  const decoded = { name: cursor.source.name, text };
  return parseTemplateText(new Cursor(decoded, 0, text.length, false, span));
}

function parseHeredoc(cursor: Cursor): Expression {
  const start = cursor.position;
  cursor.take('<<');
  const isIndented = cursor.take('-');
  const word = cursor.identifier();
  if (word === undefined) throw cursor.unexpected('expected a word after "<<"');
  cursor.take('\r');
  if (!cursor.take('\n')) throw cursor.unexpected(`expected a line end after "<<${word}"`);
  const closing = new RegExp(`^[ \\t]*${word.replace(/[$-]/g, '\\$&')}(?=\\r?$)`, 'gmu');
  closing.lastIndex = cursor.position;
  const found = closing.exec(cursor.source.text);
  if (!found || found.index >= cursor.end)
    throw cursor.syntax(`the heredoc has no line "${word}" that ends it`, undefined, start);
  const isOver = (at: Cursor) => at.position >= found.index;
  const template = templateFrom(cursor, start, { isOver, hasEscapes: false, isIndented });
  cursor.position = found.index + found[0].length;
  return { ...template, span: cursor.spanFrom(start) };
}

/** A text without templates in it is a literal. */
function templateFrom(cursor: Cursor, start: number, form: TemplateForm): Expression {
  const parts = cursor.outsideBrackets(() => parseTemplate(cursor, form, parseExpression));
  const span = cursor.spanFrom(start);
  if (parts.every((part) => part.kind === 'text'))
    return { kind: 'literal', value: parts.map(({ text }) => text).join(''), span };
  return { kind: 'template', parts, span };
}
