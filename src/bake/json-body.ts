import type { Attribute, Block, Body, Expression } from './hcl-ast.js';
import { Cursor } from './hcl-cursor.js';
import { parseExpression } from './hcl-expression.js';
import { errorAt, type SourceText } from './source-text.js';

const BLOCKS = ['target', 'group', 'variable', 'function'];

/** A bake file in JSON, with the same meaning as HCL: texts are templates. @throws BAKE_SYNTAX */
export function parseJsonFile(source: SourceText): Body {
  const cursor = new Cursor(source, 0, source.text.length, true);
  cursor.skipLines();
  if (!cursor.at('{')) throw cursor.unexpected('expected "{"', 'a bake file in JSON is one object');
  const whole = parseExpression(cursor);
  cursor.skipLines();
  if (!cursor.isAtEnd) throw cursor.unexpected('expected the end of the file');
  const body = bodyOf(whole);
  return {
    attributes: body.attributes.filter(({ name }) => !BLOCKS.includes(name)),
    blocks: body.attributes
      .filter(({ name }) => BLOCKS.includes(name))
      .flatMap(({ name, expression }) => listed(expression).flatMap((labels) => blocksOf(name, labels))),
  };
}

/** A list of objects stands for blocks one after the other. */
function listed(expression: Expression): readonly Expression[] {
  return expression.kind === 'list' ? expression.items : [expression];
}

function blocksOf(type: string, labels: Expression): Block[] {
  return bodyOf(labels).attributes.flatMap(({ name, nameSpan, expression }) =>
    listed(expression).map((body) => ({
      type,
      labels: [{ text: name, span: nameSpan }],
      span: nameSpan,
      body: type === 'variable' ? withValidation(bodyOf(body)) : bodyOf(body),
    })),
  );
}

/** The one block inside of blocks. */
function withValidation({ attributes }: Body): Body {
  const isValidation = ({ name }: Attribute) => name === 'validation';
  return {
    attributes: attributes.filter((attribute) => !isValidation(attribute)),
    blocks: attributes.filter(isValidation).flatMap(({ nameSpan, expression }) =>
      listed(expression).map((body) => ({
        type: 'validation',
        labels: [],
        span: nameSpan,
        body: bodyOf(body),
      })),
    ),
  };
}

/** `//` is a comment. */
function bodyOf(expression: Expression): Body {
  if (expression.kind !== 'object')
    throw errorAt(expression.span, 'expected an object', { code: 'BAKE_SYNTAX' });
  const attributes = expression.items.flatMap(({ key, value }) => {
    const name = key.kind === 'literal' ? String(key.value) : '';
    return name === '//' ? [] : [{ name, nameSpan: key.span, expression: value }];
  });
  return { attributes, blocks: [] };
}
