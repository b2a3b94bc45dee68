import { BuildError } from '../errors.js';
import { type Descriptor, isIndexType, isManifestType } from './descriptor.js';
import { isDigest } from './digest.js';
import type { ImageConfig } from './image-config.js';
import { parseJson } from './json.js';
import { limitHint, LIMITS } from './limits.js';
import type { ImageIndex, Manifest } from './manifest.js';

/**
 * Reads manifests, indexes and configs of registries and archives: after these functions every field that tsbuild looks at has
 * the type that it is declared with. What they do not know is kept.
 */

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

/** @throws MANIFEST_INVALID */
export function parseManifest(bytes: Uint8Array, name: string, mediaType?: string): Manifest {
  const what = `the manifest of "${name}"`;
  const manifest = objectOf(parseJson(limited(bytes, 'manifestBytes', what), what), what);
  checkMediaType(manifest, mediaType, what);
  // One document that is two things is read as one by us and as the other by the next tool (CVE-2021-41190).
  if (manifest['manifests'] !== undefined) throw invalid(`${what} is an index, too`);
  if (isDescriptor(manifest['config']) && isListOf(isDescriptor)(manifest['layers']))
    return manifest as unknown as Manifest;
  throw invalid(`${what} is not one of an image`, 'schema 1 images must be pushed again by a newer Docker');
}

/** @throws MANIFEST_INVALID */
export function parseIndex(bytes: Uint8Array, name: string, mediaType?: string): ImageIndex {
  const what = `the index of "${name}"`;
  const index = objectOf(parseJson(limited(bytes, 'manifestBytes', what), what), what);
  checkMediaType(index, mediaType, what);
  if (index['layers'] !== undefined || index['config'] !== undefined)
    throw invalid(`${what} is a manifest, too`);
  if (isImageIndex(index)) return index;
  throw invalid(`${what} does not list manifests`);
}

/** Whether all that tsbuild looks at in an index is there and has its type. */
export function isImageIndex(value: unknown): value is ImageIndex {
  return isObject(value) && isListOf(isDescriptor)(value['manifests']);
}

/** @throws MANIFEST_INVALID */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  const what = `the config of "${name}"`;
  const config = objectOf(parseJson(limited(bytes, 'imageConfigBytes', what), what), what);
  checkFields(config, CONFIG_FIELDS, what);
  const rootfs = config['rootfs'];
  if (!isObject(rootfs) || !isListOf(isDigestText)(rootfs['diff_ids']))
    throw invalid(`${what} does not list its layers`, 'it is none of an image');
  const history = optional(isListOf(isObject))(config['history']) ? config['history'] : undefined;
  if (history === undefined && !isAbsent(config['history'])) throw invalid(`${what} has a damaged history`);
  for (const entry of (history ?? []) as Fields[])
    checkFields(entry, HISTORY_FIELDS, `the history in ${what}`);
  const container = config['config'];
  if (isAbsent(container)) return withoutNulls(config) as unknown as ImageConfig;
  checkFields(objectOf(container, what), CONTAINER_FIELDS, what);
  const known = withoutNulls(container as Fields);
  for (const name of ['Cmd', 'Entrypoint', 'Shell'])
    // Old Dockers wrote a lone string.
    if (typeof known[name] === 'string') known[name] = [known[name]];
  return { ...withoutNulls(config), config: known } as unknown as ImageConfig;
}

/** One image of a docker archive's `manifest.json`. */
export interface ArchivedImage {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null;
  readonly Layers: readonly string[];
}

/** @throws MANIFEST_INVALID */
export function parseArchiveManifest(bytes: Uint8Array): readonly ArchivedImage[] {
  const what = '"manifest.json" of the archive';
  const images = parseJson(limited(bytes, 'manifestBytes', what), what);
  const isImage = (image: unknown) =>
    isObject(image) &&
    isText(image['Config']) &&
    isListOf(isText)(image['Layers']) &&
    optional(isListOf(isText))(image['RepoTags']);
  if (isListOf(isImage)(images)) return images as readonly ArchivedImage[];
  throw invalid(`${what} does not list images`);
}

/** Bytes of a document whose descriptor says how long it is. @throws MANIFEST_INVALID before anything is read */
export function checkDocumentSize(descriptor: Descriptor, name: string): void {
  const limit =
    isIndexType(descriptor.mediaType) || isManifestType(descriptor.mediaType)
      ? 'manifestBytes'
      : 'imageConfigBytes';
  if (descriptor.size > LIMITS[limit])
    throw invalid(
      `${descriptor.digest} of "${name}" says that it has ${descriptor.size} bytes`,
      limitHint(limit),
    );
}

const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number';
const isFlag: Check = (value) => typeof value === 'boolean';
const isAbsent: Check = (value) => value === undefined || value === null;
const isDigestText: Check = (value) => typeof value === 'string' && isDigest(value);

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function isTableOf(check: Check): Check {
  return (value) => isObject(value) && Object.values(value).every(check);
}

function optional(check: Check): Check {
  return (value) => isAbsent(value) || check(value);
}

function isDescriptor(value: unknown): boolean {
  return (
    isObject(value) &&
    optional(isText)(value['mediaType']) &&
    isDigestText(value['digest']) &&
    Number.isSafeInteger(value['size']) &&
    (value['size'] as number) >= 0 &&
    optional(isTableOf(isText))(value['annotations']) &&
    optional(isPlatform)(value['platform'])
  );
}

function isPlatform(value: unknown): boolean {
  return (
    isObject(value) &&
    ['os', 'architecture'].every((key) => isText(value[key])) &&
    ['variant', 'os.version'].every((key) => optional(isText)(value[key])) &&
    optional(isListOf(isText))(value['os.features'])
  );
}

const isCommand: Check = (value) => isText(value) || isListOf(isText)(value);
const isSet = isTableOf((value) => isAbsent(value) || isObject(value));

const CONFIG_FIELDS: Readonly<Record<string, Check>> = {
  created: isText,
  author: isText,
  architecture: isText,
  os: isText,
  variant: isText,
  'os.version': isText,
  'os.features': isListOf(isText),
};

const CONTAINER_FIELDS: Readonly<Record<string, Check>> = {
  User: isText,
  ExposedPorts: isSet,
  Env: isListOf(isText),
  Entrypoint: isCommand,
  Cmd: isCommand,
  Volumes: isSet,
  WorkingDir: isText,
  Labels: isTableOf(isText),
  StopSignal: isText,
  ArgsEscaped: isFlag,
  Healthcheck: (value) =>
    isObject(value) &&
    optional(isListOf(isText))(value['Test']) &&
    ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'].every((key) =>
      optional(isNumber)(value[key]),
    ),
  OnBuild: isListOf(isText),
  Shell: isCommand,
};

const HISTORY_FIELDS: Readonly<Record<string, Check>> = {
  created: isText,
  created_by: isText,
  author: isText,
  comment: isText,
  empty_layer: isFlag,
};

function checkFields(fields: Fields, checks: Readonly<Record<string, Check>>, what: string): void {
  for (const [name, check] of Object.entries(checks))
    if (!optional(check)(fields[name])) throw invalid(`${what} has a damaged field "${name}"`);
}

function checkMediaType(document: Fields, expected: string | undefined, what: string): void {
  const written = document['mediaType'];
  if (isAbsent(written)) return;
  const isKnown = typeof written === 'string' && (isIndexType(written) || isManifestType(written));
  if (!isKnown || (expected !== undefined && written !== expected))
    throw invalid(
      `${what} says to be "${String(written).slice(0, 100)}", and its descriptor "${expected ?? 'nothing'}"`,
    );
}

function objectOf(value: unknown, what: string): Fields {
  if (isObject(value)) return value;
  throw invalid(`${what} is no JSON object`);
}

function withoutNulls(fields: Fields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function limited(bytes: Uint8Array, limit: 'manifestBytes' | 'imageConfigBytes', what: string): Uint8Array {
  if (bytes.length <= LIMITS[limit]) return bytes;
  throw invalid(`${what} has ${bytes.length} bytes`, limitHint(limit));
}

function invalid(why: string, hint = 'the image is damaged or hostile at its source'): BuildError {
  return new BuildError('MANIFEST_INVALID', why, { hint });
}
