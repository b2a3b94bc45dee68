import type { Attribute, Block, Body } from './hcl-ast.js';
import { Cursor } from './hcl-cursor.js';
import { parseExpression } from './hcl-expression.js';
import type { SourceText } from './source-text.js';

/** A file of HCL. @throws BAKE_SYNTAX */
export function parseHcl(source: SourceText): Body {
  const cursor = new Cursor(source, source.text.startsWith('\ufeff') ? 1 : 0);
  return parseBody(cursor, (at) => at.isAtEnd);
}

function parseBody(cursor: Cursor, isOver: (cursor: Cursor) => boolean): Body {
  const attributes: Attribute[] = [];
  const blocks: Block[] = [];
  for (;;) {
    cursor.skipLines();
    if (isOver(cursor)) return { attributes, blocks };
    const item = parseItem(cursor);
    if ('type' in item) blocks.push(item);
    else {
      const earlier = attributes.find(({ name }) => name === item.name);
      if (earlier)
        throw cursor.syntax(`"${item.name}" is set twice`, 'leave one of the two out', item.nameSpan.start);
      attributes.push(item);
    }
    cursor.skip();
    if (isOver(cursor)) continue;
    if (!cursor.at('\n') && !cursor.isAtEnd)
      throw cursor.unexpected('expected a line end', 'write one setting in each line');
  }
}

function parseItem(cursor: Cursor): Attribute | Block {
  const start = cursor.position;
  const quoted = cursor.match(/"[^"\n]*"/y);
  const name = quoted?.slice(1, -1) ?? cursor.identifier();
  if (name === undefined) throw cursor.unexpected('expected a setting or a block');
  const nameSpan = cursor.spanFrom(start);
  cursor.skip();
  if (cursor.at('=') && !cursor.at('==')) {
    cursor.take('=');
    return { name, nameSpan, expression: parseExpression(cursor) };
  }
  return parseBlock(cursor, name, start);
}

function parseBlock(cursor: Cursor, type: string, start: number): Block {
  const labels: { text: string; span: ReturnType<Cursor['spanFrom']> }[] = [];
  for (;;) {
    const from = cursor.position;
    const text = cursor.match(/"(?:[^"\\\n]|\\.)*"/y)?.slice(1, -1) ?? cursor.identifier();
    if (text === undefined) break;
    labels.push({ text, span: cursor.spanFrom(from) });
    cursor.skip();
  }
  if (!cursor.take('{'))
    throw cursor.unexpected(
      `expected "=" or "{" after "${type}"`,
      'write NAME = VALUE, or TYPE "NAME" { … }',
    );
  const span = cursor.spanFrom(start);
  const body = cursor.nested(() => parseBody(cursor, (at) => at.at('}')));
  cursor.take('}');
  return { type, labels, span, body };
}
