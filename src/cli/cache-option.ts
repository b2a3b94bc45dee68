import { CACHE_TYPES, type CacheDirection, type CacheSpec } from '../cache/remote/cache-spec.js';
import { BuildError, nearestName } from '../errors.js';
import { splitCsv } from './output-option.js';

/**
 * `--cache-from` and `--cache-to`: `type=registry,ref=NAME,mode=max`, or the NAME alone. Fields are CSV, so a value with a
 * comma is quoted as a whole: `"mounts=npm,go"`; a key that comes twice has both values.
 * @throws USAGE
 */
export function parseCacheOption(text: string, direction: CacheDirection): CacheSpec {
  if (!text.includes('=')) return { type: 'registry', attributes: { ref: text } };
  const attributes: Record<string, string> = {};
  for (const field of splitCsv(text)) {
    const equals = field.indexOf('=');
    if (equals < 1) throw usage(text, direction, `"${field}" is no KEY=VALUE`);
    const key = field.slice(0, equals).toLowerCase();
    const value = field.slice(equals + 1);
    attributes[key] = Object.hasOwn(attributes, key) ? `${attributes[key]},${value}` : value;
  }
  const { type = '', ...rest } = attributes;
  const known = CACHE_TYPES.find((candidate) => candidate === type);
  if (known !== undefined) return { type: known, attributes: rest };
  const nearest = nearestName(type, CACHE_TYPES);
  throw usage(
    text,
    direction,
    type === ''
      ? 'it has no type'
      : `the type "${type}" is not known${nearest ? `; did you mean "${nearest}"?` : ''}`,
  );
}

function usage(text: string, direction: CacheDirection, why: string): BuildError {
  return new BuildError('USAGE', `--cache-${direction} "${withoutSecrets(text)}": ${why}`, {
    hint: `write --cache-${direction} type=${CACHE_TYPES.join('|')},…; docs/remote-cache.md has examples`,
  });
}

function withoutSecrets(text: string): string {
  return text.replace(/((?:key|token)[a-z_]*=)[^,]*/gi, '$1…');
}
