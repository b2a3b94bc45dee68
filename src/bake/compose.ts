import type { YAMLParseError } from 'yaml';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { BuildError } from '../errors.js';
import { cleanPath } from '../graph/path-match.js';
import { interpolate } from './compose-variables.js';
import { parseEntries, withoutDoubles, type Entry, type EntryKind } from './entries.js';
import { isRemote } from './paths.js';
import { errorAt, type SourceText } from './source-text.js';
import type { Group, Target } from './target.js';
import { formatBytesBinary, parseBytesBinary } from './sizes.js';

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

/** A compose file's services with a `build`, as targets in the group `default`. @throws BAKE_SYNTAX, BAKE_INVALID */
export function readCompose(
  sources: readonly SourceText[],
  lookup: (name: string) => string | undefined,
): { groups: Map<string, Group>; targets: Map<string, Target> } {
  const files = sources.map((source) => new ComposeFile(source));
  const merged = files.map((file) => file.data(lookup)).reduce(mergeCompose, {});
  const places = { files, path: [] as string[] };
  const services = at(places, 'services', () => objectOf(merged['services'] ?? null, 'the services'));
  const secrets = objectOf(merged['secrets'] ?? null, 'the secrets');
  const targets = new Map<string, Target>();
  for (const name of Object.keys(services).sort()) {
    const target = at(places, 'services', () =>
      at(places, name, () =>
        readService(name, objectOf(services[name]!, 'a service'), { secrets, lookup, places }),
      ),
    );
    if (target) targets.set(target.name, target);
  }
  const group: Group = { name: 'default', targets: [...targets.keys()] };
  const isAny = Object.keys(services).length > 0;
  return { groups: new Map(isAny ? [['default', group]] : []), targets };
}

/** Where the walk is, so that a plain error gets the place of what it is about. */
interface Places {
  readonly files: readonly ComposeFile[];
  readonly path: string[];
}

function at<T>(places: Places, key: string, read: () => T): T {
  places.path.push(key);
  try {
    return read();
  } catch (error) {
    if (error instanceof BuildError) throw error;
    const file = places.files.findLast((one) => one.has(places.path)) ?? places.files.at(-1)!;
    throw file.errorAt(places.path, (error as Error).message);
  } finally {
    places.path.pop();
  }
}

class ComposeFile {
  private readonly document: Document;

  constructor(private readonly source: SourceText) {
    const lineCounter = new LineCounter();
    this.document = parseDocument(source.text, { lineCounter, merge: true });
    const [error] = this.document.errors;
    if (error) throw this.syntax(error);
  }

  private syntax(error: YAMLParseError): BuildError {
    const [start, end] = error.pos;
    const message = error.message.split(/ at line \d+/)[0]!;
    return errorAt({ source: this.source, start, end }, message, { code: 'BAKE_SYNTAX', cause: error });
  }

  /** With variables put in. */
  data(lookup: (name: string) => string | undefined): JsonObject {
    const data = (this.document.toJS() ?? {}) as Json;
    const places: Places = { files: [this], path: [] };
    const walk = (value: Json): Json => {
      if (typeof value === 'string') return interpolate(value, lookup);
      if (Array.isArray(value))
        return value.map((item, i) => at(places, String(i), () => walk(item as Json)));
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, at(places, key, () => walk(item as Json))]),
      );
    };
    // Other parts of a compose file may need variables that only `docker compose` has.
    const { services = null, secrets = null } = at(places, '', () => objectOf(data, 'a compose file'));
    return {
      services: at(places, 'services', () => walk(services)),
      secrets: at(places, 'secrets', () => walk(secrets)),
    };
  }

  has(path: readonly string[]): boolean {
    return this.document.hasIn(path);
  }

  errorAt(path: readonly string[], message: string): BuildError {
    const keys = path.filter((key) => key !== '');
    const [start, end] = this.spanOf(keys);
    return errorAt({ source: this.source, start, end }, `${keys.join('.')}: ${message}`);
  }

  /** Of the key, where it is in a mapping. */
  private spanOf(path: readonly string[]): [number, number] {
    if (path.length === 0) return [0, 1];
    const parent: unknown =
      path.length === 1 ? this.document.contents : this.document.getIn(path.slice(0, -1), true);
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === path.at(-1));
      const range = isScalar(pair?.key) ? pair.key.range : undefined;
      if (range) return [range[0], range[1]];
    }
    const node = this.document.getIn([...path], true) as { range?: [number, number, number] } | undefined;
    return node?.range ? [node.range[0], node.range[1]] : this.spanOf(path.slice(0, -1));
  }
}

/** Later files on top: mappings key by key, lists one after the other. */
function mergeCompose<T extends Json>(under: T, over: T): T {
  if (Array.isArray(under) && Array.isArray(over)) return [...under, ...over] as unknown as T;
  if (!isPlain(under) || !isPlain(over)) return over ?? under;
  const keys = new Set([...Object.keys(under), ...Object.keys(over)]);
  return Object.fromEntries(
    [...keys].map((key) => {
      const [a, b] = [under[key], over[key]];
      return [key, a === undefined ? b! : b === undefined ? a : mergeCompose(a, b)];
    }),
  ) as T;
}

function isPlain(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Reading {
  readonly secrets: JsonObject;
  readonly lookup: (name: string) => string | undefined;
  readonly places: Places;
}

const BUILD_KEYS = [
  'context',
  'dockerfile',
  'dockerfile_inline',
  'additional_contexts',
  'args',
  'labels',
  'tags',
  'cache_from',
  'cache_to',
  'target',
  'platforms',
  'shm_size',
  'network',
  'ulimits',
  'extra_hosts',
  'ssh',
  'secrets',
  'pull',
  'no_cache',
  'sbom',
  'provenance',
];

function readService(name: string, service: JsonObject, reading: Reading): Target | undefined {
  const { places } = reading;
  if (service['extends'] !== undefined)
    at(places, 'extends', () => {
      throw new Error('"extends" is not supported; write the keys into the service');
    });
  const written = service['build'] ?? null;
  if (written === null) return undefined;
  return at(places, 'build', () => {
    const build = typeof written === 'string' ? { context: written } : objectOf(written, 'a build');
    const unknown = Object.keys(build).find((key) => !BUILD_KEYS.includes(key) && !key.startsWith('x-'));
    if (unknown !== undefined)
      at(places, unknown, () => {
        throw new Error(`a build has no key "${unknown}", or tsbuild does not know it`);
      });
    const targetName = name.replaceAll('.', '_');
    const target = { name: targetName, ...buildFields(build, service, reading) };
    const image = service['image'];
    const extended = withExtension(target, build['x-bake'] ?? null, places);
    return extended.tags?.length || typeof image !== 'string' ? extended : { ...extended, tags: [image] };
  });
}

function buildFields(build: JsonObject, service: JsonObject, reading: Reading): Omit<Target, 'name'> {
  const fields: Record<string, unknown> = {};
  const { places } = reading;
  const set = (key: string, from: string, read: (value: Json) => unknown) => {
    const value = build[from];
    if (value === undefined || value === null) return;
    const result = at(places, from, () => read(value));
    if (result !== undefined) fields[key] = result;
  };
  const environment = pairsOf(service['environment'] ?? null);
  set('context', 'context', (value) => localPath(textOf(value)));
  set('contexts', 'additional_contexts', (value) => contextsOf(pairsOf(value)));
  set('dockerfile', 'dockerfile', textOf);
  set('dockerfile-inline', 'dockerfile_inline', textOf);
  set('args', 'args', (value) =>
    withTexts(pairsOf(value), (name) => environment[name] ?? reading.lookup(name)),
  );
  set('labels', 'labels', (value) => withTexts(pairsOf(value), () => ''));
  set('tags', 'tags', textsOf);
  set('cache-from', 'cache_from', (value) => entries('cache', textsOf(value)));
  set('cache-to', 'cache_to', (value) => entries('cache', textsOf(value)));
  set('target', 'target', textOf);
  set('secret', 'secrets', (value) => listOf(value).map((item) => secretOf(item, reading.secrets)));
  set('ssh', 'ssh', sshOf);
  set('platforms', 'platforms', textsOf);
  set('pull', 'pull', (value) => flagOf(value) || undefined);
  set('no-cache', 'no_cache', (value) => flagOf(value) || undefined);
  set('network', 'network', textOf);
  set('shm-size', 'shm_size', (value) => formatBytesBinary(parseBytesBinary(textOf(value))));
  set('ulimits', 'ulimits', ulimitsOf);
  set('extra-hosts', 'extra_hosts', hostsOf);
  const attests = (['sbom', 'provenance'] as const).flatMap((type) => {
    const value = build[type];
    return value === undefined || value === null ? [] : [attestOf(type, textOf(value))];
  });
  if (attests.length > 0) fields['attest'] = attests;
  return fields;
}

/** `x-bake`: keys of a target that compose has no word for. */
function withExtension(target: Target, written: Json, places: Places): Target {
  if (written === null) return target;
  return at(places, 'x-bake', () => {
    const extension = objectOf(written, '"x-bake"');
    const result: Record<string, unknown> = {};
    const add = <T>(key: keyof Target, values: readonly T[]) => {
      result[key] = [...((target[key] as readonly T[] | undefined) ?? []), ...values];
    };
    const KINDS: Readonly<Record<string, EntryKind>> = {
      'cache-from': 'cache',
      'cache-to': 'cache',
      secret: 'secret',
      ssh: 'ssh',
      output: 'output',
    };
    for (const [key, value] of Object.entries(extension))
      at(places, key, () => {
        const kind = KINDS[key];
        if (kind) {
          add(key as keyof Target, entries(kind, wordsOf(value)));
          result[key] = withoutDoubles(kind, result[key] as Entry[]);
        } else if (key === 'tags' || key === 'platforms' || key === 'no-cache-filter')
          add(key, wordsOf(value));
        else if (key === 'pull' || key === 'no-cache') result[key] = flagOf(value);
        else if (key === 'contexts') result[key] = { ...contextsOf(pairsOf(value)), ...target.contexts };
        else throw new Error(`"x-bake" has no key "${key}"`);
      });
    return { ...target, ...result };
  });
}

/** A list, or words in one text. */
function wordsOf(value: Json): string[] {
  return typeof value === 'string' ? value.split(/\s+/).filter(Boolean) : textsOf(value);
}

function entries(kind: EntryKind, texts: readonly string[]): Entry[] {
  return texts.flatMap((text) => parseEntries(kind, text));
}

function objectOf(value: Json, what: string): JsonObject {
  if (value === null) return {};
  if (isPlain(value)) return value;
  throw new Error(`${what} is a mapping`);
}

function listOf(value: Json): readonly Json[] {
  if (Array.isArray(value)) return value as readonly Json[];
  throw new Error('expected a list');
}

function textOf(value: Json): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return String(value);
  throw new Error('expected a text');
}

function textsOf(value: Json): string[] {
  return listOf(value).map(textOf);
}

function flagOf(value: Json): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new Error('expected true or false');
}

/** A mapping, or a list of NAME=VALUE; a name alone has undefined. */
function pairsOf(value: Json): Record<string, string | undefined> {
  if (isPlain(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, item === null ? undefined : textOf(item)]),
    );
  if (value === null) return {};
  return Object.fromEntries(
    textsOf(value).map((pair) => {
      const equals = pair.indexOf('=');
      return equals < 0 ? [pair, undefined] : [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

/** Names that get no value are left out. */
function withTexts(
  pairs: Record<string, string | undefined>,
  other: (name: string) => string | undefined,
): Record<string, string> | undefined {
  const known = Object.entries(pairs).flatMap(([name, value]) => {
    const text = value ?? other(name);
    return text === undefined ? [] : [[name, text] as const];
  });
  return Object.fromEntries(known);
}

function localPath(path: string): string {
  return isRemote(path) ? path : cleanPath(path);
}

function contextsOf(pairs: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(pairs).map(([name, value = '']) => {
      const link = /^(?:service|target):(.*)$/.exec(value)?.[1];
      if (link !== undefined) return [name, `target:${link.replaceAll('.', '_')}`];
      return [name, /^[a-z-]+:/.test(value) || isRemote(value) ? value : cleanPath(value)];
    }),
  );
}

function secretOf(item: Json, secrets: JsonObject): Entry {
  const source = typeof item === 'string' ? item : textOf(objectOf(item, 'a secret')['source'] ?? null);
  const secret = secrets[source];
  if (secret === undefined) throw new Error(`there is no secret "${source}" in the file`);
  const { file, environment, external } = objectOf(secret, 'a secret');
  if (external === true) throw new Error(`the secret "${source}" is external, which is not supported`);
  return {
    id: source,
    ...(file === undefined ? {} : { src: localPath(textOf(file)) }),
    ...(environment === undefined ? {} : { env: textOf(environment) }),
  };
}

function sshOf(value: Json): Entry[] {
  const all = Object.entries(pairsOf(value)).map(([id, path]) => ({
    id,
    ...(path ? { paths: [path] } : {}),
  }));
  return all.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function ulimitsOf(value: Json): string[] {
  return Object.entries(objectOf(value, '"ulimits"'))
    .map(([name, limit]) => {
      if (!isPlain(limit)) return `${name}=${textOf(limit)}:${textOf(limit)}`;
      return `${name}=${textOf(limit['soft'] ?? 0)}:${textOf(limit['hard'] ?? 0)}`;
    })
    .sort();
}

/** `HOST:IP`, `HOST=IP`, or a mapping. */
function hostsOf(value: Json): Record<string, string> {
  if (isPlain(value))
    return Object.fromEntries(
      Object.entries(value).map(([host, item]) => [
        host,
        Array.isArray(item) ? textsOf(item).join(',') : textOf(item),
      ]),
    );
  return Object.fromEntries(
    textsOf(value).map((pair) => {
      const [, host, address] = /^([^=:]*)[=:](.*)$/.exec(pair) ?? [];
      if (host === undefined) throw new Error(`"${pair}" is not HOST=ADDRESS`);
      return [host, address!];
    }),
  );
}

function attestOf(type: string, value: string): Entry {
  if (value === 'true') return { type };
  if (value === 'false') return { type, disabled: true };
  return parseEntries('attest', `type=${type},${value}`)[0]!;
}
