import { entriesOf } from './entries.js';
import { BuildError } from '../errors.js';
import { evaluate, type Scope, withVariables } from './evaluate.js';
import type { Attribute, Block, Body, Expression } from './hcl-ast.js';
import { errorAt, type Span } from './source-text.js';
import {
  FIELDS,
  type FieldKind,
  type Group,
  mergeTargets,
  type Target,
  TARGET_KEYS,
  type TargetKey,
} from './target.js';
import { booleanOf, isList, isObject, kindOf, LazyObject, settled, textOf, type Value } from './value.js';
import { attributeOf, checkKeys, type ListedVariable, type VariableInputs, Variables } from './variables.js';

/** What the bake files define. */
export interface Definitions {
  readonly groups: Map<string, Group>;
  readonly targets: Map<string, Target>;
  readonly variables: readonly ListedVariable[];
}

const TARGET_BLOCK_KEYS = [...TARGET_KEYS, 'matrix', 'name'];
const GROUP_KEYS = ['targets', 'description'];
const TARGET_NAME = /^[a-zA-Z0-9_-]+$/;

/** Adds what files of HCL and JSON say to what compose files said. @throws BAKE_INVALID */
export function readDefinitions(
  bodies: readonly Body[],
  inputs: VariableInputs,
  before: Omit<Definitions, 'variables'>,
): Definitions {
  const blocks = bodies.flatMap((body) => body.blocks);
  for (const { type, span } of blocks)
    if (!['target', 'group', 'variable', 'function'].includes(type))
      throw errorAt(span, `there are no blocks "${type}"`, {
        hint: 'use target, group, variable or function',
      });
  const targetBlocks = labeled(blocks, 'target', TARGET_BLOCK_KEYS);
  const groupBlocks = labeled(blocks, 'group', GROUP_KEYS);
  const scope: Variables = new Variables(
    bodies,
    inputs,
    new Map([
      ['target', lazyBlocks(targetBlocks, TARGET_KEYS, () => scope)],
      ['group', lazyBlocks(groupBlocks, GROUP_KEYS, () => scope)],
    ]),
  );
  scope.checkAll();
  const { groups, targets } = before;
  const renamed = new Map<string, string[]>();
  for (const [label, block] of targetBlocks)
    for (const [name, target] of readTargets(label, block, scope)) {
      const earlier = targets.get(name);
      targets.set(name, earlier ? mergeTargets(earlier, target) : target);
      renamed.set(label, [...(renamed.get(label) ?? []), name]);
    }
  for (const [label, block] of groupBlocks) groups.set(label, readGroup(label, block, scope));
  for (const [label, names] of renamed) {
    const all = [...new Set(names)];
    if (all.length !== 1 || all[0] !== label) groups.set(label, { name: label, targets: all });
  }
  return { groups, targets, variables: scope.list() };
}

/** Blocks with their one label, in order; a name may come several times. */
function labeled(blocks: readonly Block[], type: string, keys: readonly string[]): [string, Block][] {
  return blocks
    .filter((block) => block.type === type)
    .map((block) => {
      const label = block.labels[0];
      if (!label || block.labels.length > 1)
        throw errorAt(block.span, `a ${type} has one name`, { hint: `write ${type} "NAME" { … }` });
      checkName(label.text, label.span);
      checkKeys(block, keys);
      return [label.text, block];
    });
}

function checkName(name: string, span: Span): void {
  if (TARGET_NAME.test(name)) return;
  throw errorAt(span, `"${name}" is no name`, {
    hint: 'names have letters, digits, "_" and "-"; sanitize() makes one',
  });
}

/** `target.app.tags`, for expressions; a key that is not set is null. */
function lazyBlocks(
  blocks: readonly [string, Block][],
  keys: readonly string[],
  scope: () => Scope,
): LazyObject {
  const names = [...new Set(blocks.map(([name]) => name))];
  const asking: string[] = [];
  const attribute = (owner: string, name: string): Attribute | undefined =>
    blocks
      .filter(([label]) => label === owner)
      .map(([, block]) => attributeOf(block, name))
      .findLast((found) => found !== undefined);
  const get = (owner: string, name: string): Value | undefined => {
    const found = attribute(owner, name);
    if (!found) return keys.includes(name) ? null : undefined;
    const place = `${owner}.${name}`;
    if (asking.includes(place))
      throw errorAt(found.nameSpan, `"${place}" needs its own value: ${[...asking, place].join(' -> ')}`);
    asking.push(place);
    try {
      return evaluate(found.expression, scope());
    } finally {
      asking.pop();
    }
  };
  return new LazyObject(
    () => names,
    (owner) =>
      names.includes(owner)
        ? new LazyObject(
            () => keys,
            (name) => get(owner, name),
          )
        : undefined,
  );
}

/** Gives a plain error the place of the attribute. */
function located<T>({ name, expression }: Attribute, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw errorAt(expression.span, `"${name}": ${(error as Error).message}`, { cause: error });
  }
}

/** One target, or with a matrix one for each combination. */
function readTargets(label: string, block: Block, scope: Scope): [string, Target][] {
  const matrix = attributeOf(block, 'matrix');
  const name = attributeOf(block, 'name');
  if (!matrix) {
    if (name)
      throw errorAt(name.nameSpan, '"name" goes with a matrix', { hint: 'the label is the target’s name' });
    return [[label, readTarget(label, block, scope)]];
  }
  const rounds = combinations(matrix.expression, scope);
  if (!name && rounds.length > 1)
    throw errorAt(block.span, `a matrix gives ${rounds.length} targets the name "${label}"`, {
      hint: 'add name = "…" with the variables of the matrix in it',
    });
  const seen = new Set<string>();
  return rounds.map((variables) => {
    const inner = withVariables(scope, variables);
    const own = name ? textOf(evaluate(name.expression, inner)) : label;
    if (own === undefined) throw errorAt(name!.expression.span, 'a name is a text');
    checkName(own, name?.expression.span ?? block.span);
    if (seen.has(own))
      throw errorAt(name?.expression.span ?? block.span, `the matrix gives two targets the name "${own}"`);
    seen.add(own);
    return [own, readTarget(own, block, inner)];
  });
}

function combinations(expression: Expression, scope: Scope): Map<string, Value>[] {
  const matrix = settled(evaluate(expression, scope));
  if (!isObject(matrix))
    throw errorAt(expression.span, `a matrix is an object of lists, not ${kindOf(matrix)}`);
  let rounds: Map<string, Value>[] = [new Map()];
  for (const [name, values] of matrix) {
    const list = settled(values);
    if (!isList(list))
      throw errorAt(expression.span, `"${name}" of the matrix is a list, not ${kindOf(list)}`);
    rounds = list.flatMap((value) => rounds.map((round) => new Map([...round, [name, value]])));
  }
  return rounds;
}

function readTarget(name: string, block: Block, scope: Scope): Target {
  const fields: Record<string, unknown> = {};
  for (const attribute of block.body.attributes) {
    if (attribute.name === 'matrix' || attribute.name === 'name') continue;
    const value = located(attribute, () =>
      readField(FIELDS[attribute.name as TargetKey].kind, evaluate(attribute.expression, scope)),
    );
    if (value !== undefined) fields[attribute.name] = value;
  }
  return { name, ...fields };
}

/** The value as a target's key has it; undefined for null. Errors are plain. */
export function readField(kind: FieldKind, value: Value): Target[TargetKey] {
  const one = settled(value);
  if (one === null) return undefined;
  if (kind === 'text') return textOf(one) ?? wrong('a text', one);
  if (kind === 'boolean') return booleanOf(one) ?? wrong('true or false', one);
  if (kind === 'map') {
    if (!isObject(one)) return wrong('an object', one);
    const entries = [...one].filter(([, item]) => item !== null);
    return Object.fromEntries(
      entries.map(([key, item]) => [key, textOf(item) ?? wrong(`a text for "${key}"`, item)]),
    );
  }
  if (!isList(one)) return wrong('a list', one);
  const items = one.filter((item) => item !== null);
  if (kind === 'texts') return items.map((item) => textOf(item) ?? wrong('a list of texts', item));
  return items.flatMap((item) => entriesOf(kind, settled(item)));
}

function wrong(wanted: string, found: Value): never {
  throw new Error(`expected ${wanted}, found ${kindOf(found)}`);
}

function readGroup(name: string, block: Block, scope: Scope): Group {
  const targets = attributeOf(block, 'targets');
  if (!targets) throw errorAt(block.span, `the group "${name}" has no targets`);
  const description = attributeOf(block, 'description');
  const names = located(targets, () =>
    readField('texts', evaluate(targets.expression, scope)),
  ) as readonly string[];
  return {
    name,
    targets: [...new Set(names)],
    ...(description ? { description: textOf(evaluate(description.expression, scope)) ?? '' } : {}),
  };
}
