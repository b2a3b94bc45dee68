import { BuildError, nearestName } from '../errors.js';
import type { OutputSpec } from '../exporter/output-spec.js';

const TYPES = ['image', 'docker', 'oci', 'local', 'tar', 'registry', 'cacheonly'] as const;
const KEYS = [
  'type',
  'dest',
  'name',
  'compression',
  'force-compression',
  'push',
  'tar',
  'oci-mediatypes',
  'rewrite-timestamp',
  'unpack',
  'store',
  'source-date-epoch',
];

/**
 * `--output`: `type=oci,dest=x.tar`, `DIR` for type=local, `-` for type=tar on standard output. Fields are CSV, so a value
 * with a comma is quoted as `"name=a,b"`.
 * @throws USAGE
 */
export function parseOutput(text: string): OutputSpec {
  if (text === '-') return { type: 'tar', dest: '-' };
  if (!/^"?[a-z0-9.-]+=/i.test(text)) return { type: 'local', dest: text };
  const fields = splitCsv(text).map((field): [string, string] => {
    const equals = field.indexOf('=');
    return equals < 0
      ? [field.toLowerCase(), 'true']
      : [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)];
  });
  const annotations: Record<string, string> = {};
  const names: string[] = [];
  const values = new Map<string, string>();
  for (const [key, value] of fields) {
    if (key.startsWith('annotation')) annotations[key.slice(key.indexOf('.') + 1)] = value;
    else if (key === 'name') names.push(...value.split(',').filter(Boolean));
    else if (KEYS.includes(key)) values.set(key, value);
    else throw usage(text, `"${key}" is not known`, nearestName(key, KEYS));
  }
  const type = values.get('type');
  if (type === undefined) throw usage(text, 'it has no type', undefined);
  if (!(TYPES as readonly string[]).includes(type))
    throw usage(text, `the type "${type}" is not known`, nearestName(type, TYPES));
  const compression = values.get('compression');
  if (compression !== undefined && !['uncompressed', 'gzip', 'zstd'].includes(compression)) {
    throw usage(
      text,
      `the compression "${compression}" is not known`,
      nearestName(compression, ['uncompressed', 'gzip', 'zstd']),
    );
  }
  const flag = (key: string) => (values.has(key) ? booleanOf(text, key, values.get(key)!) : undefined);
  const spec = {
    type: type as OutputSpec['type'],
    dest: values.get('dest') || undefined,
    names: names.length > 0 ? names : undefined,
    compression: compression as OutputSpec['compression'],
    forceCompression: flag('force-compression'),
    push: flag('push'),
    tar: flag('tar'),
    ociMediaTypes: flag('oci-mediatypes'),
    rewriteTimestamp: flag('rewrite-timestamp'),
    sourceDateEpochSec: epochOf(text, values.get('source-date-epoch')),
    annotations: Object.keys(annotations).length > 0 ? annotations : undefined,
  };
  return Object.fromEntries(
    Object.entries(spec).filter(([, value]) => value !== undefined),
  ) as unknown as OutputSpec;
}

/** Fields of one CSV line, without empty ones. */
export function splitCsv(text: string): string[] {
  const fields: string[] = [];
  for (const [, quoted, plain] of text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    fields.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'));
  return fields.filter((field) => field !== '');
}

/** Empty says nothing. */
function epochOf(text: string, value: string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined;
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw usage(text, `"source-date-epoch" takes seconds since 1970, not "${value}"`, undefined);
}

function booleanOf(text: string, key: string, value: string): boolean {
  if (['true', '1', 't'].includes(value.toLowerCase())) return true;
  if (['false', '0', 'f'].includes(value.toLowerCase())) return false;
  throw usage(text, `"${key}" takes true or false, not "${value}"`, undefined);
}

function usage(text: string, why: string, nearest: string | undefined): BuildError {
  return new BuildError(
    'USAGE',
    `--output "${text}": ${why}${nearest ? `; did you mean "${nearest}"?` : ''}`,
    {
      hint: 'write -o type=docker,dest=image.tar, type=oci,dest=DIR,tar=false, type=local,dest=DIR, type=tar or type=registry',
    },
  );
}
