import { BuildError, nearestName } from '../errors.js';
import { matchPath } from '../graph/path-match.js';
import type { Definitions } from './definitions.js';
import { type Entry, type EntryKind, parseEntries, withoutDoubles } from './entries.js';
import { notFound } from './not-found.js';
import type { Target, TargetKey } from './target.js';

/** What `--set` says of one key of a target: all values that were given for it. */
export interface Override {
  readonly key: string;
  /** The part after the key: `args.NAME`. */
  readonly name?: string;
  readonly values: readonly string[];
  /** `+=`. */
  readonly appends: boolean;
}

/** Keys of `--set`, and the target's key that each sets. */
const TEXTS: Readonly<Record<string, TargetKey>> = {
  context: 'context',
  dockerfile: 'dockerfile',
  target: 'target',
  call: 'call',
  'shm-size': 'shm-size',
  network: 'network',
};
const LISTS: Readonly<Record<string, TargetKey>> = {
  tags: 'tags',
  platform: 'platforms',
  platforms: 'platforms',
  'no-cache-filter': 'no-cache-filter',
  ulimits: 'ulimits',
  entitlements: 'entitlements',
  annotations: 'annotations',
};
const MAPS = ['args', 'contexts', 'labels', 'extra-hosts'];
const ENTRIES: Readonly<Record<string, { key: TargetKey; kind: EntryKind }>> = {
  'cache-from': { key: 'cache-from', kind: 'cache' },
  'cache-to': { key: 'cache-to', kind: 'cache' },
  output: { key: 'output', kind: 'output' },
  secrets: { key: 'secret', kind: 'secret' },
  ssh: { key: 'ssh', kind: 'ssh' },
  attest: { key: 'attest', kind: 'attest' },
};
const FLAGS = ['no-cache', 'pull', 'push', 'load'];
const KEYS = [...Object.keys(TEXTS), ...Object.keys(LISTS), ...MAPS, ...Object.keys(ENTRIES), ...FLAGS];

/** These only grow, with `=` as with `+=`. */
const GROWING = ['entitlements', 'annotations', 'attest'];

/** `--set TARGET.KEY=VALUE`, by target. @throws USAGE, BAKE_NOT_FOUND */
export function readOverrides(
  texts: readonly string[],
  { targets }: Definitions,
  env: Readonly<Record<string, string | undefined>>,
): Map<string, Map<string, Override>> {
  const byTarget = new Map<string, Map<string, Override>>();
  for (const text of texts) {
    const { pattern, place, override } = parseOverride(text, env);
    if (!override) continue;
    for (const name of expand(pattern, targets)) {
      const own = byTarget.get(name) ?? new Map<string, Override>();
      const earlier = own.get(place);
      const values = [...(earlier?.values ?? []), ...override.values];
      own.set(place, { ...override, values });
      byTarget.set(name, own);
    }
  }
  return byTarget;
}

function parseOverride(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): { pattern: string; place: string; override: Override | undefined } {
  const equals = text.indexOf('=');
  const written = equals < 0 ? text : text.slice(0, equals);
  const appends = written.endsWith('+');
  const [pattern = '', key, ...rest] = (appends ? written.slice(0, -1) : written).split('.');
  const name = rest.length > 0 ? rest.join('.') : undefined;
  const usage = (
    why: string,
    hint = 'write --set TARGET.KEY=VALUE, such as --set "*.platform=linux/arm64"',
  ) => new BuildError('USAGE', `--set "${text}": ${why}`, { hint });
  if (key === undefined) throw usage('it names no key');
  if (!KEYS.includes(key)) {
    const nearest = nearestName(key, KEYS);
    throw usage(
      `there is no key "${key}"`,
      nearest ? `did you mean "${nearest}"?` : `there are ${KEYS.join(', ')}`,
    );
  }
  if (MAPS.includes(key) !== (name !== undefined))
    throw usage(
      name === undefined ? `"${key}" takes a name: ${pattern}.${key}.NAME=VALUE` : `"${key}" takes no name`,
    );
  const value = equals < 0 ? (key === 'args' ? env[name!] : undefined) : text.slice(equals + 1);
  if (value === undefined && key !== 'args') throw usage('it has no value');
  const place = name === undefined ? key : `${key}.${name}`;
  const override = { key, ...(name === undefined ? {} : { name }), values: [value!], appends };
  return { pattern, place, override: value === undefined ? undefined : override };
}

function expand(pattern: string, targets: ReadonlyMap<string, Target>): string[] {
  if (targets.has(pattern)) return [pattern];
  const names = [...targets.keys()].filter((name) => matchPath(pattern, name));
  if (names.length === 0) throw notFound(pattern, [...targets.keys()]);
  return names;
}

/** The target with what `--set` says of it. @throws USAGE */
export function applyOverrides(target: Target, overrides: ReadonlyMap<string, Override> | undefined): Target {
  let result = target;
  for (const override of overrides?.values() ?? []) {
    try {
      result = applyOverride(result, override);
    } catch (error) {
      if (error instanceof BuildError) throw error;
      throw new BuildError(
        'USAGE',
        `--set "${target.name}.${override.key}=${override.values.at(-1)}": ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  return result;
}

function applyOverride(target: Target, override: Override): Target {
  const { key, name, values } = override;
  const last = values.at(-1)!;
  const appends = override.appends || GROWING.includes(key);
  if (TEXTS[key]) return { ...target, [TEXTS[key]]: last };
  if (MAPS.includes(key)) return { ...target, [key]: { ...(target[key as 'args'] ?? {}), [name!]: last } };
  if (LISTS[key]) {
    const before = appends ? ((target[LISTS[key]] as readonly string[] | undefined) ?? []) : [];
    return { ...target, [LISTS[key]]: [...before, ...values] };
  }
  const entries = ENTRIES[key];
  if (entries) {
    const before = appends ? ((target[entries.key] as readonly Entry[] | undefined) ?? []) : [];
    const added = values.flatMap((value) => parseEntries(entries.kind, value));
    return { ...target, [entries.key]: withoutDoubles(entries.kind, [...before, ...added]) };
  }
  const isOn = parseFlag(key, last);
  if (key === 'push') return { ...target, output: withPush(target.output ?? [], isOn) };
  if (key === 'load') return isOn ? { ...target, output: withLoad(target.output ?? []) } : target;
  return { ...target, [key]: isOn };
}

function parseFlag(key: string, value: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new Error(`"${key}" takes true or false`);
}

function withPush(outputs: readonly Entry[], pushes: boolean): Entry[] {
  const set = (entry: Entry): Entry =>
    entry['type'] === 'image' ? { ...entry, push: String(pushes) } : entry;
  if (!pushes) return outputs.filter(({ type }) => type !== 'registry').map(set);
  const changed = outputs.map(set);
  return changed.every(({ type }) => type === 'docker')
    ? [...changed, { type: 'image', push: 'true' }]
    : changed;
}

function withLoad(outputs: readonly Entry[]): readonly Entry[] {
  const isLoaded = outputs.some(({ type, dest }) => type === 'docker' && !dest);
  const isOther = outputs.some(({ type }) => !['docker', 'image', 'registry', 'oci'].includes(String(type)));
  return isLoaded || isOther ? outputs : [...outputs, { type: 'docker' }];
}
