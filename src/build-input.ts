import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { BuildError } from './errors.js';
import { parseIgnoreFile } from './graph/pattern-matcher.js';
import type { BuildOptions } from './options.js';

/** What a build reads before it parses anything. */
export interface BuildInput {
  readonly dockerfile: { readonly name: string; readonly text: string };
  /** Local directories by the name in `local://name`. */
  readonly contexts: ReadonlyMap<string, string>;
  readonly ignorePatterns: readonly string[];
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly sourceDateEpochSec?: number;
}

/**
 * Finds the Dockerfile (`-f`, standard input, or `Dockerfile` in the context), the context directory and the ignore file:
 * `<Dockerfile>.dockerignore` where there is one, else `.dockerignore` in the context.
 * @throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND, INVALID_VALUE
 */
export async function readBuildInput(options: BuildOptions): Promise<BuildInput> {
  const context = contextDirectory(options);
  const { path, name, text } = await readDockerfile(options, context);
  const buildArgs = options.buildArgs ?? {};
  const epoch = sourceDateEpoch(options, buildArgs);
  return {
    dockerfile: { name, text },
    contexts: new Map(context === undefined ? [] : [['context', context]]),
    ignorePatterns: context === undefined ? [] : readIgnorePatterns(context, path),
    buildArgs,
    ...(epoch === undefined ? {} : { sourceDateEpochSec: epoch }),
  };
}

/** Undefined for `-`: a Dockerfile from standard input, and nothing beside it. */
function contextDirectory(options: BuildOptions): string | undefined {
  if (options.context === '-') return undefined;
  if (/^([a-z][a-z0-9+.-]*:\/\/|git@)/i.test(options.context)) {
    throw new BuildError('UNSUPPORTED', `the context "${options.context}" is a URL`, {
      hint: 'clone or download it and give the directory',
    });
  }
  const directory = resolve(options.context);
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (!stat) {
    throw new BuildError('CONTEXT_NOT_FOUND', `the build context "${options.context}" does not exist`, {
      hint: 'give the directory that holds the files for COPY and ADD, such as "."',
    });
  }
  if (!stat.isDirectory()) {
    throw new BuildError('CONTEXT_NOT_FOUND', `the build context "${options.context}" is not a directory`, {
      hint: `to build this Dockerfile, give its directory: tsbuild -f ${options.context} ${dirname(options.context)}`,
    });
  }
  return directory;
}

interface Dockerfile {
  /** Absolute; undefined when it did not come from a file. */
  readonly path?: string;
  readonly name: string;
  readonly text: string;
}

async function readDockerfile(options: BuildOptions, context: string | undefined): Promise<Dockerfile> {
  if (options.dockerfileText !== undefined) return { name: 'Dockerfile', text: options.dockerfileText };
  if (options.file === '-' || (context === undefined && options.file === undefined)) {
    return { name: 'Dockerfile', text: await readAll(options.stdin ?? process.stdin) };
  }
  const path = options.file === undefined ? defaultDockerfile(context!) : resolve(options.file);
  try {
    return { path, name: basename(path), text: readFileSync(path, 'utf8') };
  } catch (error) {
    throw notReadable(options, path, error as NodeJS.ErrnoException);
  }
}

function defaultDockerfile(context: string): string {
  const path = join(context, 'Dockerfile');
  const lower = join(context, 'dockerfile');
  return !existsSync(path) && existsSync(lower) ? lower : path;
}

function notReadable(options: BuildOptions, path: string, error: NodeJS.ErrnoException): BuildError {
  const inContext = options.file === undefined ? undefined : join(resolve(options.context), options.file);
  const hint =
    inContext !== undefined && existsSync(inContext)
      ? `-f is relative to the working directory: use -f ${join(options.context, options.file!)}`
      : 'name it with -f FILE, or give the directory that holds a file "Dockerfile"';
  const why = error.code === 'ENOENT' ? 'does not exist' : `cannot be read: ${error.message}`;
  return new BuildError('DOCKERFILE_NOT_FOUND', `the Dockerfile "${path}" ${why}`, { cause: error, hint });
}

function readIgnorePatterns(context: string, dockerfile: string | undefined): readonly string[] {
  const candidates = [
    ...(dockerfile === undefined ? [] : [`${dockerfile}.dockerignore`]),
    join(context, '.dockerignore'),
  ];
  for (const candidate of candidates) {
    try {
      return parseIgnoreFile(readFileSync(candidate, 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return [];
}

function sourceDateEpoch(
  options: BuildOptions,
  buildArgs: Readonly<Record<string, string>>,
): number | undefined {
  if (options.sourceDateEpochSec !== undefined) return options.sourceDateEpochSec;
  const text = buildArgs['SOURCE_DATE_EPOCH'] ?? process.env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,12}$/.test(text)) {
    throw new BuildError(
      'INVALID_VALUE',
      `SOURCE_DATE_EPOCH "${text}" is not a number of seconds since 1970`,
      {
        hint: 'set it to a whole number, for example $(git log -1 --pretty=%ct)',
      },
    );
  }
  return Number(text);
}

async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}
