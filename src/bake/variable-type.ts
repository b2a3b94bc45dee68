import type { Expression } from './hcl-ast.js';
import { errorAt } from './source-text.js';
import {
  booleanOf,
  fromJson,
  isList,
  isObject,
  kindOf,
  numberOf,
  settled,
  textOf,
  type Value,
} from './value.js';

/** The type of a variable: `string`, `list(number)`, `object({ name = string })`. */
export type VariableType =
  | { readonly kind: 'string' | 'number' | 'bool' | 'any' }
  | { readonly kind: 'list' | 'set' | 'map'; readonly of: VariableType }
  | { readonly kind: 'tuple'; readonly items: readonly VariableType[] }
  | {
      readonly kind: 'object';
      readonly keys: ReadonlyMap<string, { type: VariableType; isOptional: boolean }>;
    };

/** The type that an expression names. @throws BAKE_INVALID */
export function readType(expression: Expression): VariableType {
  const unknown = () =>
    errorAt(expression.span, 'this is no type', {
      hint: 'write string, number, bool, list(TYPE), set(TYPE), map(TYPE), tuple([TYPE]) or object({ NAME = TYPE })',
    });
  if (expression.kind === 'variable') {
    const { name } = expression;
    if (name === 'string' || name === 'number' || name === 'bool' || name === 'any') return { kind: name };
    throw unknown();
  }
  const arg = expression.kind === 'call' && expression.args.length === 1 ? expression.args[0]! : undefined;
  if (expression.kind !== 'call' || !arg) throw unknown();
  const { name } = expression;
  if (name === 'list' || name === 'set' || name === 'map') return { kind: name, of: readType(arg) };
  if (name === 'tuple' && arg.kind === 'list') return { kind: 'tuple', items: arg.items.map(readType) };
  if (name !== 'object' || arg.kind !== 'object') throw unknown();
  const keys = arg.items.map(({ key, value }) => {
    const isOptional = value.kind === 'call' && value.name === 'optional';
    const type = readType(isOptional ? value.args[0]! : value);
    return [String(key.kind === 'literal' ? key.value : ''), { type, isOptional }] as const;
  });
  return { kind: 'object', keys: new Map(keys) };
}

/** `list of string`, as lists of variables show it. */
export function formatType(type: VariableType): string {
  return 'of' in type ? `${type.kind} of ${formatType(type.of)}` : type.kind;
}

/** The value as that type has it. Errors are plain. */
export function convertTo(type: VariableType, value: Value): Value {
  const one = settled(value);
  if (one === null || type.kind === 'any') return one;
  const wrong = () => new Error(`expected ${formatType(type)}, found ${kindOf(one)}`);
  const or = <T>(converted: T | undefined): T => {
    if (converted === undefined) throw wrong();
    return converted;
  };
  switch (type.kind) {
    case 'string':
      return or(textOf(one));
    case 'number':
      return or(numberOf(one));
    case 'bool':
      return or(booleanOf(one));
    case 'list':
      if (!isList(one)) throw wrong();
      return one.map((item) => convertTo(type.of, item));
    case 'set': {
      if (!isList(one)) throw wrong();
      const items = one.map((item) => convertTo(type.of, item));
      return [...new Set(items)].sort((a, b) => (a! < b! ? -1 : 1));
    }
    case 'map':
      if (!isObject(one)) throw wrong();
      return new Map([...one].map(([key, item]) => [key, convertTo(type.of, item)]));
    case 'tuple':
      if (!isList(one) || one.length !== type.items.length) throw wrong();
      return one.map((item, i) => convertTo(type.items[i]!, item));
    case 'object': {
      if (!isObject(one)) throw wrong();
      return new Map(
        [...type.keys].map(([key, { type: of, isOptional }]) => {
          const item = one.get(key);
          if (item === undefined && !isOptional) throw new Error(`"${key}" is missing`);
          return [key, item === undefined ? null : convertTo(of, item)];
        }),
      );
    }
  }
}

/** What the environment says, as the type wants it: lists are CSV, maps KEY:VALUE of CSV. Errors are plain. */
export function parseAs(type: VariableType, text: string): Value {
  switch (type.kind) {
    case 'bool': {
      if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
      if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
      throw new Error(`"${text}" is neither true nor false`);
    }
    case 'number': {
      const number = numberOf(text);
      if (number === undefined) throw new Error(`"${text}" is no number`);
      return number;
    }
    case 'list':
    case 'set':
    case 'tuple':
      return convertTo(type, text === '' ? [] : text.split(','));
    case 'map':
      return convertTo(
        type,
        new Map(
          text.split(',').map((pair) => {
            const colon = pair.indexOf(':');
            if (colon < 0) throw new Error(`"${pair}" is not KEY:VALUE`);
            return [pair.slice(0, colon), pair.slice(colon + 1)];
          }),
        ),
      );
    case 'object':
      throw new Error(`a text is no ${formatType(type)}; set the variable whose name ends in _JSON`);
    default:
      return text;
  }
}

/** The same of `NAME_JSON`. */
export function parseJsonAs(type: VariableType, text: string): Value {
  return convertTo(type, fromJson(JSON.parse(text)));
}

/** The type that a default has, where that is one that a text of the environment can stand for. */
export function impliedType(value: Value): VariableType | undefined {
  if (typeof value === 'boolean') return { kind: 'bool' };
  if (typeof value === 'number') return { kind: 'number' };
  return typeof value === 'string' || value === null ? { kind: 'string' } : undefined;
}
