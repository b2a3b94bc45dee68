import { type Entry, type EntryKind, withoutDoubles } from './entries.js';
import { goJsonText } from './value.js';

/** A target of a bake file; keys as in the file. */
export interface Target {
  readonly name: string;
  description?: string;
  inherits?: readonly string[];
  annotations?: readonly string[];
  attest?: readonly Entry[];
  context?: string;
  contexts?: Readonly<Record<string, string>>;
  dockerfile?: string;
  'dockerfile-inline'?: string;
  args?: Readonly<Record<string, string>>;
  labels?: Readonly<Record<string, string>>;
  tags?: readonly string[];
  'cache-from'?: readonly Entry[];
  'cache-to'?: readonly Entry[];
  target?: string;
  secret?: readonly Entry[];
  ssh?: readonly Entry[];
  platforms?: readonly string[];
  output?: readonly Entry[];
  pull?: boolean;
  'no-cache'?: boolean;
  network?: string;
  'no-cache-filter'?: readonly string[];
  'shm-size'?: string;
  ulimits?: readonly string[];
  call?: string;
  entitlements?: readonly string[];
  'extra-hosts'?: Readonly<Record<string, string>>;
}

export interface Group {
  readonly name: string;
  readonly description?: string;
  readonly targets: readonly string[];
}

export type TargetKey = Exclude<keyof Target, 'name'>;

export type FieldKind = 'text' | 'boolean' | 'texts' | 'map' | EntryKind;

interface Field {
  readonly kind: FieldKind;
  /** What a later definition of the same target, or one that inherits, does to an earlier value. */
  readonly merge: 'replace' | 'append' | 'keys';
}

const text: Field = { kind: 'text', merge: 'replace' };
const flag: Field = { kind: 'boolean', merge: 'replace' };
const texts: Field = { kind: 'texts', merge: 'append' };
const map: Field = { kind: 'map', merge: 'keys' };

/** Every key of a target, in the order in which buildx prints them. */
export const FIELDS: Readonly<Record<TargetKey, Field>> = {
  description: text,
  inherits: texts,
  annotations: texts,
  attest: { kind: 'attest', merge: 'append' },
  context: text,
  contexts: map,
  dockerfile: text,
  'dockerfile-inline': text,
  args: map,
  labels: map,
  tags: { kind: 'texts', merge: 'replace' },
  'cache-from': { kind: 'cache', merge: 'append' },
  'cache-to': { kind: 'cache', merge: 'replace' },
  target: text,
  secret: { kind: 'secret', merge: 'append' },
  ssh: { kind: 'ssh', merge: 'append' },
  platforms: { kind: 'texts', merge: 'replace' },
  output: { kind: 'output', merge: 'replace' },
  pull: flag,
  'no-cache': flag,
  network: text,
  'no-cache-filter': texts,
  'shm-size': text,
  ulimits: texts,
  call: text,
  entitlements: texts,
  'extra-hosts': map,
};

export const TARGET_KEYS = Object.keys(FIELDS) as TargetKey[];

type FieldValue = Target[TargetKey];

/** `over` on top of `under`. */
export function mergeTargets(under: Target, over: Target): Target {
  const merged: Record<string, FieldValue> = {};
  for (const key of TARGET_KEYS) {
    const value = mergeValues(FIELDS[key], under[key], over[key]);
    if (value !== undefined) merged[key] = value;
  }
  return { name: over.name, ...merged };
}

function mergeValues({ kind, merge }: Field, under: FieldValue, over: FieldValue): FieldValue {
  if (under === undefined || over === undefined || merge === 'replace') return over ?? under;
  if (merge === 'keys') return { ...(under as object), ...(over as object) };
  const all = [...(under as readonly (string & Entry)[]), ...(over as readonly (string & Entry)[])];
  return kind === 'texts' ? all : withoutDoubles(kind as EntryKind, all);
}

/** Without doubles and what is empty; a host network asks for its right. */
export function normalizeTarget(target: Target): Target {
  const normal: Record<string, FieldValue> = {};
  for (const key of TARGET_KEYS) {
    const value = target[key];
    const { kind } = FIELDS[key];
    if (value === undefined) continue;
    if (kind === 'texts')
      normal[key] = [...new Set(value as readonly string[])].filter((item) => item !== '');
    else if (Array.isArray(value)) normal[key] = withoutDoubles(kind as EntryKind, value as Entry[]);
    else normal[key] = value;
  }
  if (target.network === 'host')
    normal['entitlements'] = [...new Set([...(target.entitlements ?? []), 'network.host'])];
  if (target.contexts)
    normal['contexts'] = Object.fromEntries(
      Object.entries(target.contexts).filter(([, value]) => value !== ''),
    );
  return { name: target.name, ...normal };
}

export interface BakePlan {
  readonly groups: ReadonlyMap<string, Group>;
  readonly targets: ReadonlyMap<string, Target>;
  /** Those of the targets that were asked for by name or group; others are there for links. */
  readonly asked: readonly string[];
}

/** `bake --print`: byte for byte as buildx prints it. */
export function formatPlan({ groups, targets }: Omit<BakePlan, 'asked'>): string {
  const byName = <T>(all: ReadonlyMap<string, T>, print: (one: T) => Record<string, unknown>) =>
    Object.fromEntries(
      [...all].map(([name, one]) => [name, print(one)] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  const printed = {
    ...(groups.size > 0
      ? {
          group: byName(groups, ({ description, targets: members }) => ({
            ...(description ? { description } : {}),
            targets: members,
          })),
        }
      : {}),
    target: byName(targets, printedTarget),
  };
  return `${indentedJson(printed, '')}\n`;
}

/** Their texts would be templates when what was printed is read again. */
const ESCAPED: ReadonlySet<TargetKey> = new Set([
  'annotations',
  'dockerfile-inline',
  'labels',
  'args',
  'extra-hosts',
]);

function printedTarget(target: Target): Record<string, unknown> {
  const printed: Record<string, unknown> = {};
  for (const key of TARGET_KEYS) {
    const value = target[key];
    if (value === undefined || key === 'inherits' || (key === 'description' && value === '')) continue;
    if (typeof value === 'object' && Object.keys(value).length === 0) continue;
    printed[key] = ESCAPED.has(key) ? escaped(value) : value;
    const { kind } = FIELDS[key];
    if (kind === 'map') printed[key] = sortedKeys(printed[key] as object);
    if (kind === 'attest' || kind === 'cache' || kind === 'output')
      printed[key] = (value as readonly Entry[]).map(sortedKeys);
    if (kind === 'secret')
      printed[key] = (value as readonly Entry[]).map(({ id, src, env }) => ({ id, src, env }));
    if (kind === 'ssh') printed[key] = (value as readonly Entry[]).map(({ id, paths }) => ({ id, paths }));
  }
  return printed;
}

function escaped(value: FieldValue): unknown {
  if (typeof value === 'string') return value.replace(/[$%]\{/g, (opening) => opening[0] + opening);
  if (Array.isArray(value)) return value.map(escaped);
  return Object.fromEntries(
    Object.entries(value as object).map(([key, item]) => [key, escaped(item as string)]),
  );
}

function sortedKeys(object: object): object {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** As Go indents: two blanks, `<`, `>` and `&` escaped. */
export function indentedJson(value: unknown, indent: string): string {
  const inner = `${indent}  `;
  if (typeof value === 'string') return goJsonText(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const isArray = Array.isArray(value);
  const rows = isArray
    ? value.map((item) => indentedJson(item, inner))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => `${goJsonText(key)}: ${indentedJson(item, inner)}`);
  const [open, close] = isArray ? '[]' : '{}';
  if (rows.length === 0) return `${open}${close}`;
  return `${open}\n${rows.map((row) => inner + row).join(',\n')}\n${indent}${close}`;
}
