import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../errors.js';
import { parseDotEnv } from './compose-variables.js';
import { type Definitions, readDefinitions } from './definitions.js';
import type { Body } from './hcl-ast.js';
import { parseHcl } from './hcl-body.js';
import { parseJsonFile } from './json-body.js';
import type { SourceText } from './source-text.js';

export interface BakeInputs {
  /** Paths, `-` for {@link stdin}; without any, the usual names in the directory. */
  readonly files: readonly string[];
  readonly directory: string;
  /** Text of standard input, for `-`. */
  readonly stdin?: string;
  /** `--var`. */
  readonly variables: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `linux/amd64`, as expressions see it. */
  readonly localPlatform: string;
}

const USUAL_FILES = [
  'compose.yaml',
  'compose.yml',
  'docker-compose.yml',
  'docker-compose.yaml',
  'docker-bake.json',
  'docker-bake.hcl',
  'docker-bake.override.json',
  'docker-bake.override.hcl',
];

/** A bake file is read into memory. */
const LONGEST_BYTES = 4 << 20;

/** What the bake files define. @throws BAKE_NOT_FOUND, BAKE_SYNTAX, BAKE_INVALID */
export async function readBake(inputs: BakeInputs): Promise<Definitions> {
  const { env, variables, directory } = inputs;
  const sources = readSources(inputs);
  const compose: SourceText[] = [];
  const bodies: Body[] = [];
  for (const source of sources) {
    const name = source.name.toLowerCase();
    if (name.endsWith('.yml') || name.endsWith('.yaml')) compose.push(source);
    else bodies.push(isJson(source) ? parseJsonFile(source) : parseHcl(source));
  }
  let before: Omit<Definitions, 'variables'> = { groups: new Map(), targets: new Map() };
  if (compose.length > 0) {
    const { readCompose } = await import('./compose.js');
    before = readCompose(compose, composeLookup(directory, variables, env));
  }
  const builtins = new Map([
    ['BAKE_CMD_CONTEXT', 'cwd://'],
    ['BAKE_LOCAL_PLATFORM', inputs.localPlatform],
  ]);
  const isEnvOff = /^(1|t|true)$/i.test(env['BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP'] ?? '');
  return readDefinitions(bodies, { builtins, given: variables, env: isEnvOff ? {} : env }, before);
}

function isJson({ name, text }: SourceText): boolean {
  return (
    name.toLowerCase().endsWith('.json') || (!name.toLowerCase().endsWith('.hcl') && /^\s*\{/.test(text))
  );
}

function readSources({ files, directory, stdin, env }: BakeInputs): SourceText[] {
  const separator = env['BUILDX_BAKE_PATH_SEPARATOR'] || ':';
  const named = files.length > 0 ? files : (env['BUILDX_BAKE_FILE'] ?? '').split(separator).filter(Boolean);
  if (named.length > 0)
    return named.map((name) =>
      name === '-' ? { name: 'stdin', text: stdin ?? '' } : readSource(name, directory, true)!,
    );
  const found = USUAL_FILES.flatMap((name) => readSource(name, directory, false) ?? []);
  if (found.length > 0) return found;
  throw new BuildError('BAKE_NOT_FOUND', `there is no bake file in "${directory}"`, {
    hint: `name one with -f, or write docker-bake.hcl; looked for ${USUAL_FILES.join(', ')}`,
  });
}

function readSource(name: string, directory: string, isNamed: boolean): SourceText | undefined {
  const path = name.startsWith('/') ? name : join(directory, name);
  const failed = (why: string, cause?: unknown) =>
    new BuildError('BAKE_NOT_FOUND', `the bake file "${name}" cannot be read: ${why}`, {
      cause,
      hint: '-f is relative to the working directory',
    });
  if (!isNamed && !statSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
  try {
    if (statSync(path).size > LONGEST_BYTES) throw failed(`it is longer than ${LONGEST_BYTES} bytes`);
    return { name, text: readFileSync(path, 'utf8') };
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw failed((error as Error).message, error);
  }
}

/** `--var`, the environment, then the file `.env`. */
function composeLookup(
  directory: string,
  variables: ReadonlyMap<string, string>,
  env: Readonly<Record<string, string | undefined>>,
): (name: string) => string | undefined {
  const lookup = (name: string) => variables.get(name) ?? env[name];
  const path = join(directory, '.env');
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return lookup;
  const more = parseDotEnv(readFileSync(path, 'utf8'), lookup);
  return (name) => lookup(name) ?? more.get(name);
}
