import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BuildError } from './errors.js';

/** The config file (docs/config.md). */
export interface TsbuildConfig {
  readonly registries: Readonly<Record<string, RegistryConfig>>;
  readonly cache: CacheConfig;
}

export interface CacheConfig {
  /** The store is pruned down to this at the end of a build that wrote something. */
  readonly maxSizeBytes?: number;
}

export interface RegistryConfig {
  /** URLs, asked in order before the registry itself. */
  readonly mirrors: readonly string[];
  /** Plain HTTP and certificates that nobody signed are accepted. */
  readonly insecure: boolean;
  /** File with certificates of authorities, PEM. */
  readonly ca?: string;
}

const MOST_BYTES = 64 << 10;
const MOST_LEVELS = 100;

const EMPTY: TsbuildConfig = { registries: {}, cache: {} };

/**
 * Loads the config file: the one given, else `$TSBUILD_CONFIG`, else the XDG place, else /etc/tsbuild/config.yaml. Without
 * a file nothing but stats happens.
 * @throws CONFIG_INVALID
 */
export async function loadConfig(
  file: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<TsbuildConfig> {
  const given = file ?? env['TSBUILD_CONFIG'];
  const path =
    given ?? defaultPlaces(env).find((place) => statSync(place, { throwIfNoEntry: false })?.isFile());
  if (path === undefined) return EMPTY;
  let text: string;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error('it is no file');
    if (stat.size > MOST_BYTES) throw new Error(`it has ${stat.size} bytes; at most ${MOST_BYTES} are read`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new BuildError(
      'CONFIG_INVALID',
      `the config file "${path}" cannot be read: ${(error as Error).message}`,
      { cause: error },
    );
  }
  if (isTooDeep(text)) throw new BuildError('CONFIG_INVALID', `the config file "${path}" is nested too deep`);
  const { parse } = await import('yaml');
  let data: unknown;
  try {
    data = parse(text);
  } catch (error) {
    throw new BuildError(
      'CONFIG_INVALID',
      `the config file "${path}" is not valid YAML: ${(error as Error).message}`,
      { cause: error },
    );
  }
  return readConfig(data, path);
}

/** More brackets within brackets, or lists within lists, than any config has: the parser's time grows with the square of them. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
    if (depth > MOST_LEVELS) return true;
  }
  return /(?:[-?] +){100}/.test(text);
}

function defaultPlaces(env: NodeJS.ProcessEnv): string[] {
  const home = env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config');
  return [join(home, 'tsbuild/config.yaml'), '/etc/tsbuild/config.yaml'];
}

function readConfig(data: unknown, path: string): TsbuildConfig {
  if (data === null || data === undefined) return EMPTY;
  const top = record(data, 'the file', path, ['registries', 'cache']);
  const registries = top['registries'] === undefined ? {} : record(top['registries'], 'registries', path);
  return {
    registries: Object.fromEntries(
      Object.entries(registries).map(([host, value]) => [
        host,
        readRegistry(value, `registries.${host}`, path),
      ]),
    ),
    cache: readCache(top['cache'], path),
  };
}

function readCache(value: unknown, path: string): CacheConfig {
  if (value === undefined) return {};
  const { maxSize } = record(value, 'cache', path, ['maxSize']);
  if (maxSize === undefined) return {};
  const maxSizeBytes = parseSize(String(maxSize));
  if (maxSizeBytes === undefined) throw invalid('cache.maxSize', 'a size such as 20GB', path);
  return { maxSizeBytes };
}

/** `64m`, `1gb`, `20GiB`, `4096` in bytes; powers of 1024, as Docker reads sizes. Undefined for what is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text.trim());
  return match
    ? Math.round(Number(match[1]) * 1024 ** ' kmgt'.indexOf(match[2]!.toLowerCase() || ' '))
    : undefined;
}

function readRegistry(value: unknown, key: string, path: string): RegistryConfig {
  const { mirrors = [], insecure = false, ca } = record(value, key, path, ['mirrors', 'insecure', 'ca']);
  if (
    !Array.isArray(mirrors) ||
    !mirrors.every((mirror): mirror is string => typeof mirror === 'string' && /^https?:\/\//.test(mirror))
  ) {
    throw invalid(`${key}.mirrors`, 'a list of URLs that start with http:// or https://', path);
  }
  if (typeof insecure !== 'boolean') throw invalid(`${key}.insecure`, 'true or false', path);
  if (ca !== undefined && typeof ca !== 'string') throw invalid(`${key}.ca`, 'the path of a file', path);
  return { mirrors, insecure, ...(ca === undefined ? {} : { ca }) };
}

function record(
  value: unknown,
  key: string,
  path: string,
  known?: readonly string[],
): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(key, 'a mapping', path);
  const unknown = Object.keys(value).find((name) => known && !known.includes(name));
  if (unknown !== undefined) {
    throw new BuildError('CONFIG_INVALID', `unknown key "${unknown}" in ${key} of "${path}"`, {
      hint: `known are ${known!.join(', ')}`,
    });
  }
  return value as Record<string, unknown>;
}

function invalid(key: string, expected: string, path: string): BuildError {
  return new BuildError('CONFIG_INVALID', `"${key}" in "${path}" is not ${expected}`);
}
