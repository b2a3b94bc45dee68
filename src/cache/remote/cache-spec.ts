import { BuildError, nearestName } from '../../errors.js';

/** One `--cache-from` or `--cache-to`. */
export interface CacheSpec {
  readonly type: CacheType;
  /** As written, keys in lower case. */
  readonly attributes: Readonly<Record<string, string>>;
}

export const CACHE_TYPES = ['registry', 'local', 'inline', 's3', 'gha'] as const;
export type CacheType = (typeof CACHE_TYPES)[number];
export type CacheDirection = 'from' | 'to';

const S3_PLACE = [
  'bucket',
  'region',
  'endpoint_url',
  'use_path_style',
  'access_key_id',
  'secret_access_key',
  'session_token',
  'prefix',
  'blobs_prefix',
  'manifests_prefix',
  'name',
];
const GHA_PLACE = ['url', 'url_v2', 'token', 'scope'];
const EXPORT = ['mode', 'ignore-error', 'compression', 'force-compression', 'base-layers', 'mounts'];
const MANIFEST = ['image-manifest', 'oci-mediatypes'];

const ATTRIBUTES: Readonly<Record<CacheType, Readonly<Record<CacheDirection, readonly string[]>>>> = {
  registry: { from: ['ref'], to: ['ref', ...MANIFEST, ...EXPORT] },
  local: { from: ['src', 'tag', 'digest'], to: ['dest', 'tag', 'reset', ...MANIFEST, ...EXPORT] },
  inline: { from: ['ref'], to: [] },
  s3: { from: S3_PLACE, to: [...S3_PLACE, ...EXPORT] },
  gha: { from: GHA_PLACE, to: [...GHA_PLACE, ...EXPORT] },
};

/** Refuses what nobody would read. @throws USAGE */
export function checkCacheSpec(spec: CacheSpec, direction: CacheDirection): void {
  const known = ATTRIBUTES[spec.type][direction];
  for (const key of Object.keys(spec.attributes)) {
    if (known.includes(key)) continue;
    const nearest = nearestName(key, known);
    const hint = nearest ? `did you mean "${nearest}"?` : `it takes ${known.join(', ') || 'no attribute'}`;
    throw new BuildError('USAGE', `--cache-${direction} type=${spec.type} has no "${key}"`, { hint });
  }
}

/** A required attribute. @throws USAGE */
export function requiredAttribute(spec: CacheSpec, direction: CacheDirection, name: string): string {
  const value = spec.attributes[name];
  if (value) return value;
  throw new BuildError('USAGE', `--cache-${direction} type=${spec.type} needs "${name}"`, {
    hint: `write --cache-${direction} type=${spec.type},${name}=…; docs/remote-cache.md has examples`,
  });
}

/** @throws USAGE */
export function booleanAttribute(spec: CacheSpec, name: string, otherwise: boolean): boolean {
  const value = spec.attributes[name]?.toLowerCase();
  if (value === undefined || value === '') return otherwise;
  if (['true', '1', 't'].includes(value)) return true;
  if (['false', '0', 'f'].includes(value)) return false;
  throw invalidAttribute(spec, name, 'true or false');
}

/** One of `values`. @throws USAGE */
export function choiceAttribute<T extends string>(
  spec: CacheSpec,
  name: string,
  values: readonly T[],
  otherwise: T,
): T {
  const value = spec.attributes[name] ?? otherwise;
  const found = values.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw invalidAttribute(spec, name, values.join(' or '));
}

function invalidAttribute(spec: CacheSpec, name: string, expected: string): BuildError {
  return new BuildError(
    'USAGE',
    `the cache of type=${spec.type} takes ${name}=${expected}, not "${spec.attributes[name]}"`,
  );
}
