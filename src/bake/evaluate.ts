import { BuildError, nearestName } from '../errors.js';
import {
  SPLAT_ELEMENT,
  type BinaryOperator,
  type Expression,
  type ForExpression,
  type TemplatePart,
} from './hcl-ast.js';
import { errorAt, type Span } from './source-text.js';
import {
  booleanOf,
  isEqual,
  isList,
  isObject,
  kindOf,
  LazyObject,
  numberOf,
  settled,
  sortedEntries,
  textOf,
  type Value,
} from './value.js';

/** What names mean where an expression stands. */
export interface Scope {
  /** Undefined where there is no such variable. */
  readonly variable: (name: string, span: Span) => Value | undefined;
  /** Undefined where there is no such function; a plain Error of it tells what is wrong with the arguments. */
  readonly call: (name: string, args: readonly Value[], span: Span) => Value | undefined;
  readonly variableNames: () => readonly string[];
  readonly functionNames: () => readonly string[];
}

/** A scope with some more variables. */
export function withVariables(scope: Scope, variables: ReadonlyMap<string, Value>): Scope {
  return {
    call: (name, args, span) => scope.call(name, args, span),
    functionNames: () => scope.functionNames(),
    variable: (name, span) => (variables.has(name) ? variables.get(name)! : scope.variable(name, span)),
    variableNames: () => [...variables.keys(), ...scope.variableNames()],
  };
}

/** The value of an expression. @throws BAKE_INVALID with the place of what cannot be worked out */
export function evaluate(expression: Expression, scope: Scope): Value {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'template':
      return evaluateTemplate(expression.parts, expression.span, scope);
    case 'list':
      return expression.items.map((item) => evaluate(item, scope));
    case 'object':
      return new Map(
        expression.items.map(({ key, value }) => [
          asText(evaluate(key, scope), key.span, 'a key'),
          evaluate(value, scope),
        ]),
      );
    case 'for':
      return evaluateFor(expression, scope);
    case 'call':
      return evaluateCall(expression, scope);
    case 'variable':
      return lookUp(expression.name, expression.span, scope);
    case 'attribute':
      return member(evaluate(expression.of, scope), expression.name, expression.span);
    case 'index':
      return member(evaluate(expression.of, scope), evaluate(expression.key, scope), expression.span);
    case 'splat': {
      const of = settled(evaluate(expression.of, scope));
      const items = of === null ? [] : isList(of) ? of : [of];
      return items.map((item) =>
        evaluate(expression.each, withVariables(scope, new Map([[SPLAT_ELEMENT, item]]))),
      );
    }
    case 'unary': {
      const of = evaluate(expression.of, scope);
      return expression.operator === '-'
        ? -asNumber(of, expression.of.span)
        : !asBoolean(of, expression.of.span);
    }
    case 'binary':
      return evaluateBinary(expression, scope);
    case 'conditional':
      return asBoolean(evaluate(expression.condition, scope), expression.condition.span)
        ? evaluate(expression.whenTrue, scope)
        : evaluate(expression.whenFalse, scope);
  }
}

function lookUp(name: string, span: Span, scope: Scope): Value {
  const value = scope.variable(name, span);
  if (value !== undefined) return value;
  const nearest = nearestName(name, scope.variableNames());
  throw errorAt(span, `there is no variable "${name}"`, {
    hint: nearest ? `did you mean "${nearest}"?` : `declare it: variable "${name}" { default = "…" }`,
  });
}

function evaluateCall(expression: Expression & { kind: 'call' }, scope: Scope): Value {
  const { name, span } = expression;
  if (name === 'try' || name === 'can') return evaluateTry(expression, scope);
  const args = expression.args.map((arg) => evaluate(arg, scope));
  if (expression.expandsLast) {
    const last = settled(args.pop()!);
    if (!isList(last)) throw errorAt(expression.args.at(-1)!.span, `"..." takes a list, not ${kindOf(last)}`);
    args.push(...last);
  }
  let result: Value | undefined;
  try {
    result = scope.call(name, args, span);
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw errorAt(span, `"${name}": ${(error as Error).message}`, { cause: error });
  }
  if (result !== undefined) return result;
  const nearest = nearestName(name, scope.functionNames());
  throw errorAt(span, `there is no function "${name}"`, {
    hint: nearest ? `did you mean "${nearest}"?` : 'docs/bake.md lists the functions',
  });
}

/** `try` gives the first argument that can be worked out, `can` whether its argument can. */
function evaluateTry({ name, args, span }: Expression & { kind: 'call' }, scope: Scope): Value {
  let last: unknown;
  for (const arg of args) {
    try {
      const value = evaluate(arg, scope);
      return name === 'can' ? true : value;
    } catch (error) {
      last = error;
    }
  }
  if (name === 'can' && args.length > 0) return false;
  throw errorAt(span, `"${name}": none of its arguments can be worked out`, { cause: last });
}

function member(of: Value, key: Value, span: Span): Value {
  if (of instanceof LazyObject || isObject(of)) {
    const name = asText(key, span, 'a key');
    const value = of.get(name);
    if (value !== undefined) return value;
    const names = of instanceof LazyObject ? of.keys() : [...of.keys()];
    const nearest = nearestName(name, names);
    throw errorAt(span, `there is no "${name}" in it`, {
      hint: nearest ? `did you mean "${nearest}"?` : `it has ${names.join(', ') || 'nothing'}`,
    });
  }
  if (!isList(of)) throw errorAt(span, `${kindOf(of)} has no parts`);
  const position = numberOf(key);
  if (position === undefined) throw errorAt(span, `a list takes a number as its index, not ${kindOf(key)}`);
  const item = of[position];
  if (item === undefined) throw errorAt(span, `there is no item ${position} in a list of ${of.length}`);
  return item;
}

function evaluateBinary({ operator, left, right }: Expression & { kind: 'binary' }, scope: Scope): Value {
  if (operator === '&&' || operator === '||') {
    const first = asBoolean(evaluate(left, scope), left.span);
    if (first === (operator === '||')) return first;
    return asBoolean(evaluate(right, scope), right.span);
  }
  const [a, b] = [evaluate(left, scope), evaluate(right, scope)];
  if (operator === '==') return isEqual(a, b);
  if (operator === '!=') return !isEqual(a, b);
  const [x, y] = [asNumber(a, left.span), asNumber(b, right.span)];
  if (y === 0 && (operator === '/' || operator === '%')) throw errorAt(right.span, 'a division by zero');
  return ARITHMETIC[operator](x, y);
}

const ARITHMETIC: Readonly<
  Record<Exclude<BinaryOperator, '&&' | '||' | '==' | '!='>, (x: number, y: number) => Value>
> = {
  '<': (x, y) => x < y,
  '>': (x, y) => x > y,
  '<=': (x, y) => x <= y,
  '>=': (x, y) => x >= y,
  '+': (x, y) => x + y,
  '-': (x, y) => x - y,
  '*': (x, y) => x * y,
  '/': (x, y) => x / y,
  '%': (x, y) => x % y,
};

/** Key and value of each item of a list or object. @throws BAKE_INVALID for anything else */
function itemsOf(value: Value, span: Span): [Value, Value][] {
  const one = settled(value);
  if (isList(one)) return one.map((item, i) => [i, item]);
  if (isObject(one)) return sortedEntries(one);
  throw errorAt(span, `"for" takes a list or an object, not ${kindOf(one)}`);
}

function loopScope(
  { keyName, valueName }: { keyName?: string; valueName: string },
  [key, value]: readonly [Value, Value],
  scope: Scope,
): Scope {
  const variables = new Map([[valueName, value]]);
  if (keyName !== undefined) variables.set(keyName, key);
  return withVariables(scope, variables);
}

function evaluateFor(expression: ForExpression & { span: Span }, scope: Scope): Value {
  const { condition, key: keyExpression } = expression;
  const rounds = itemsOf(evaluate(expression.collection, scope), expression.collection.span)
    .map((item) => loopScope(expression, item, scope))
    .filter((inner) => !condition || asBoolean(evaluate(condition, inner), condition.span));
  if (!keyExpression) return rounds.map((inner) => evaluate(expression.value, inner));
  const object = new Map<string, Value>();
  for (const inner of rounds) {
    const key = asText(evaluate(keyExpression, inner), keyExpression.span, 'a key');
    const value = evaluate(expression.value, inner);
    if (expression.isGrouped) object.set(key, [...((object.get(key) ?? []) as readonly Value[]), value]);
    else if (object.has(key))
      throw errorAt(keyExpression.span, `two items have the key "${key}"`, {
        hint: 'write "..." after the value for a list of all values of a key',
      });
    else object.set(key, value);
  }
  return object;
}

/** What is nothing but one `${…}` keeps its type. */
function evaluateTemplate(parts: readonly TemplatePart[], span: Span, scope: Scope): Value {
  const only = parts.length === 1 ? parts[0]! : undefined;
  if (only?.kind === 'interpolation') return evaluate(only.expression, scope);
  return templateText(parts, span, scope);
}

function templateText(parts: readonly TemplatePart[], span: Span, scope: Scope): string {
  return parts
    .map((part): string => {
      switch (part.kind) {
        case 'text':
          return part.text;
        case 'interpolation':
          return asText(evaluate(part.expression, scope), part.expression.span, 'what stands in a text');
        case 'if': {
          const isTrue = asBoolean(evaluate(part.condition, scope), part.condition.span);
          return templateText(isTrue ? part.whenTrue : part.whenFalse, span, scope);
        }
        case 'for':
          return itemsOf(evaluate(part.collection, scope), part.collection.span)
            .map((item) => templateText(part.body, span, loopScope(part, item, scope)))
            .join('');
      }
    })
    .join('');
}

function asText(value: Value, span: Span, what: string): string {
  const text = textOf(value);
  if (text !== undefined) return text;
  const hint = value === null ? undefined : 'write join(",", LIST) or jsonencode(VALUE) for its text';
  throw errorAt(span, `${what} is a text, not ${kindOf(value)}`, hint === undefined ? {} : { hint });
}

function asNumber(value: Value, span: Span): number {
  const number = numberOf(value);
  if (number !== undefined) return number;
  throw errorAt(span, `expected a number, found ${kindOf(value)}`);
}

function asBoolean(value: Value, span: Span): boolean {
  const boolean = booleanOf(value);
  if (boolean !== undefined) return boolean;
  throw errorAt(span, `expected true or false, found ${kindOf(value)}`);
}
