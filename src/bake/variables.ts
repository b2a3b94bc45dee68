import { BuildError, nearestName } from '../errors.js';
import { evaluate, type Scope, withVariables } from './evaluate.js';
import { FunctionArgs } from './function-args.js';
import { FUNCTIONS } from './functions.js';
import type { Attribute, Block, Body, Expression } from './hcl-ast.js';
import { errorAt, type Span } from './source-text.js';
import type { LazyObject } from './value.js';
import { textOf, toJson, type Value } from './value.js';
import {
  convertTo,
  formatType,
  impliedType,
  parseAs,
  parseJsonAs,
  readType,
  type VariableType,
} from './variable-type.js';

export interface VariableInputs {
  /** What the program itself defines: no file can set these. */
  readonly builtins: ReadonlyMap<string, string>;
  /** `--var`. */
  readonly given: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A variable as `--list=variables` shows it. */
export interface ListedVariable {
  readonly name: string;
  readonly description?: string;
  readonly type?: string;
  /** Undefined for null. */
  readonly value?: string;
}

const VARIABLE_KEYS = ['default', 'type', 'description', 'validation'];
const FUNCTION_KEYS = ['params', 'variadic_params', 'result'];

/** How deep functions of a file may call each other. */
const DEEPEST_CALL = 100;

/**
 * Variables and functions of the bake files, worked out when something asks for them. A value is, in this order: `--var`,
 * the environment, an attribute at the top of a file, the default.
 */
export class Variables implements Scope {
  private readonly variables = new Map<string, Block>();
  private readonly functions = new Map<string, Block>();
  private readonly attributes = new Map<string, Attribute>();
  private readonly known = new Map<string, Value>();
  private readonly inProgress: string[] = [];
  private readonly types = new Map<string, VariableType | undefined>();
  private callDepth = 0;

  constructor(
    bodies: readonly Body[],
    private readonly inputs: VariableInputs,
    /** `target` and `group`: the blocks by name. */
    private readonly blocks: ReadonlyMap<string, LazyObject>,
  ) {
    for (const { attributes, blocks: all } of bodies) {
      for (const attribute of attributes) this.attributes.set(attribute.name, attribute);
      for (const block of all) {
        const label = block.labels[0];
        if (block.type !== 'variable' && block.type !== 'function') continue;
        if (!label || block.labels.length > 1)
          throw errorAt(block.span, `a ${block.type} has one name`, {
            hint: `write ${block.type} "NAME" { … }`,
          });
        checkKeys(block, block.type === 'variable' ? VARIABLE_KEYS : FUNCTION_KEYS);
        (block.type === 'variable' ? this.variables : this.functions).set(label.text, block);
      }
    }
  }

  /** Works out everything, so that an error shows whether or not a target needs the variable. */
  checkAll(): void {
    for (const [name, { span }] of this.variables) this.variable(name, span);
    for (const [name, { nameSpan }] of this.attributes) this.variable(name, nameSpan);
    for (const [name, block] of this.variables) this.validate(name, block);
    for (const block of this.functions.values()) {
      required(block, 'params');
      required(block, 'result');
    }
  }

  list(): ListedVariable[] {
    return [...this.variables]
      .map(([name, block]) => {
        const value = this.variable(name, block.span)!;
        const description = attributeOf(block, 'description');
        const type = this.types.get(name);
        return {
          name,
          ...(description ? { description: textOf(evaluate(description.expression, this)) ?? '' } : {}),
          ...(type && attributeOf(block, 'type') ? { type: formatType(type) } : {}),
          ...(value === null ? {} : { value: textOf(value) ?? toJson(value) }),
        };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  variableNames(): string[] {
    return [...this.variables.keys(), ...this.attributes.keys(), ...this.inputs.builtins.keys()];
  }

  functionNames(): string[] {
    return [...FUNCTIONS.keys(), ...this.functions.keys(), 'try', 'can'];
  }

  variable(name: string, span: Span): Value | undefined {
    const known = this.known.get(name) ?? this.inputs.builtins.get(name) ?? this.blocks.get(name);
    if (known !== undefined) return known;
    const block = this.variables.get(name);
    const expression =
      this.attributes.get(name)?.expression ?? (block && attributeOf(block, 'default')?.expression);
    if (!block && !expression) return undefined;
    const value = this.once(name, span, () => this.workOut(name, block, expression, span));
    this.known.set(name, value);
    return value;
  }

  /** @throws BAKE_INVALID for what needs itself */
  private once<T>(name: string, span: Span, workOut: () => T): T {
    const from = this.inProgress.indexOf(name);
    if (from >= 0) {
      const circle = [...this.inProgress.slice(from), name].join(' -> ');
      throw errorAt(span, `"${name}" needs its own value: ${circle}`, {
        hint: 'give one of them a value that needs no other',
      });
    }
    this.inProgress.push(name);
    try {
      return workOut();
    } finally {
      this.inProgress.pop();
    }
  }

  private workOut(
    name: string,
    block: Block | undefined,
    expression: Expression | undefined,
    span: Span,
  ): Value {
    const typeAttribute = block && attributeOf(block, 'type');
    const declared = typeAttribute && readType(typeAttribute.expression);
    this.types.set(name, declared);
    const given = block && this.givenText(name);
    const json =
      block && declared
        ? (this.inputs.given.get(`${name}_JSON`) ?? this.inputs.env[`${name}_JSON`])
        : undefined;
    try {
      if (given === undefined && json !== undefined) return parseJsonAs(declared!, json);
      const value = expression ? evaluate(expression, this) : undefined;
      if (given === undefined) {
        if (value === undefined) return declared ? null : '';
        return declared ? convertTo(declared, value) : value;
      }
      const type = declared ?? impliedType(value ?? '');
      if (!type)
        throw new Error('a text cannot stand for its default; give it a type, such as type = list(string)');
      return parseAs(type, given);
    } catch (error) {
      if (error instanceof BuildError) throw error;
      throw errorAt(
        expression && given === undefined ? expression.span : span,
        `the variable "${name}": ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }

  private givenText(name: string): string | undefined {
    return this.inputs.given.get(name) ?? this.inputs.env[name];
  }

  private validate(name: string, block: Block): void {
    for (const { type, body, span } of block.body.blocks) {
      if (type !== 'validation') throw errorAt(span, `a variable has no block "${type}"`);
      const condition = body.attributes.find((attribute) => attribute.name === 'condition');
      if (!condition) throw errorAt(span, 'a validation has a condition');
      const isValid = evaluate(condition.expression, this);
      if (isValid === true) continue;
      const message = body.attributes.find((attribute) => attribute.name === 'error_message');
      const text = message && textOf(evaluate(message.expression, this));
      throw errorAt(
        condition.expression.span,
        `the variable "${name}" is not valid${text ? `: ${text}` : ''}`,
      );
    }
  }

  call(name: string, args: readonly Value[], span: Span): Value | undefined {
    const own = this.functions.get(name);
    if (!own) return FUNCTIONS.get(name)?.(new FunctionArgs(args));
    if (this.callDepth >= DEEPEST_CALL) throw errorAt(span, `"${name}" calls itself`);
    const names = parameterNames(required(own, 'params').expression);
    const variadic = attributeOf(own, 'variadic_params');
    if (args.length < names.length || (args.length > names.length && !variadic))
      throw new Error(`takes ${names.length} arguments, not ${args.length}`);
    const variables = new Map<string, Value>(names.map((parameter, i) => [parameter, args[i]!]));
    if (variadic) variables.set(parameterName(variadic.expression), args.slice(names.length));
    this.callDepth += 1;
    try {
      return evaluate(required(own, 'result').expression, withVariables(this, variables));
    } finally {
      this.callDepth -= 1;
    }
  }
}

export function attributeOf(block: Block, name: string): Attribute | undefined {
  return block.body.attributes.find((attribute) => attribute.name === name);
}

function required(block: Block, name: string): Attribute {
  const attribute = attributeOf(block, name);
  if (attribute) return attribute;
  throw errorAt(block.span, `the ${block.type} "${block.labels[0]!.text}" has no "${name}"`);
}

/** @throws BAKE_INVALID for a key that such a block does not have */
export function checkKeys(block: Block, keys: readonly string[]): void {
  const names = [
    ...block.body.attributes.map(({ name, nameSpan }) => [name, nameSpan] as const),
    ...block.body.blocks.map(({ type, span }) => [type, span] as const),
  ];
  for (const [name, span] of names) {
    if (keys.includes(name)) continue;
    const nearest = nearestName(name, keys);
    throw errorAt(span, `a ${block.type} has no key "${name}"`, {
      hint: nearest ? `did you mean "${nearest}"?` : `it has ${keys.join(', ')}`,
    });
  }
}

function parameterNames(expression: Expression): string[] {
  if (expression.kind !== 'list') throw errorAt(expression.span, 'expected a list of names, such as [a, b]');
  return expression.items.map(parameterName);
}

/** A name; in JSON a text. */
function parameterName(expression: Expression): string {
  if (expression.kind === 'variable') return expression.name;
  if (expression.kind === 'literal' && typeof expression.value === 'string') return expression.value;
  throw errorAt(expression.span, 'expected a name');
}
