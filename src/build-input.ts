import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { BuildError } from './errors.js';
import { parseIgnoreFile } from './graph/pattern-matcher.js';
import {
  type ContextSource,
  contextName,
  type NamedContexts,
  urlFileName,
} from './frontend/context-source.js';
import { gitSourceOp, parseGitReference } from './frontend/git-reference.js';
import type { SourceOp } from './graph/op.js';
import { readDockerfileText, readIgnoreText, readLimitedText } from './input-text.js';
import type { BuildOptions } from './options.js';
import { isArchive } from './worker/source/archive-file.js';
import type { RemoteSources } from './worker/source/remote-sources.js';

/** What a build reads before it parses anything. */
export interface BuildInput {
  readonly dockerfile: { readonly name: string; readonly text: string };
  readonly mainContext: ContextSource;
  readonly namedContexts: NamedContexts;
  /** Directories by the name in `local://name`. */
  readonly directories: ReadonlyMap<string, string>;
  readonly buildArgs: Readonly<Record<string, string>>;
}

export interface InputSources {
  readonly remote: RemoteSources;
  /** Keeps a stream as a blob and gives its digest. */
  readonly store: (stream: AsyncIterable<Uint8Array>) => Promise<string>;
  readonly signal: AbortSignal;
}

/**
 * Finds the context (a directory, a repository, a URL, an archive on standard input), the Dockerfile (`-f`, standard input,
 * or `Dockerfile` in the context), contexts with names and ignore files: `<Dockerfile>.dockerignore` where there is one,
 * else `.dockerignore` in the context.
 * @throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND, INVALID_VALUE, DOWNLOAD_FAILED, GIT_FAILED
 */
export async function readBuildInput(options: BuildOptions, sources: InputSources): Promise<BuildInput> {
  const directories = new Map<string, string>();
  const namedContexts = readNamedContexts(options.buildContexts ?? {}, directories);
  const buildArgs = { ...options.buildArgs };
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  if (epoch && buildArgs['SOURCE_DATE_EPOCH'] === undefined) buildArgs['SOURCE_DATE_EPOCH'] = epoch;
  const main = await readMainContext(options, directories, sources);
  return { ...main, namedContexts, directories, buildArgs };
}

type MainInput = Pick<BuildInput, 'dockerfile' | 'mainContext'>;

async function readMainContext(
  options: BuildOptions,
  directories: Map<string, string>,
  sources: InputSources,
): Promise<MainInput> {
  if (options.context === '-') return readStandardInput(options, sources);
  const keepsGit = /^(1|t|true)$/i.test(options.buildArgs?.['BUILDKIT_CONTEXT_KEEP_GIT_DIR'] ?? '');
  const op = remoteOp(options.context, keepsGit);
  if (op) return readRemote(options, op, sources);
  const directory = contextDirectory(options);
  directories.set('context', directory);
  const { path, name, text } = await readDockerfile(options, directory);
  const ignorePatterns = readIgnorePatterns(directory, path);
  return { dockerfile: { name, text }, mainContext: { kind: 'local', name: 'context', ignorePatterns } };
}

/** A URL or repository as an op; undefined for a path. */
function remoteOp(text: string, keepGitDirectory = false): SourceOp | undefined {
  const reference = parseGitReference(
    /^github\.com\//.test(text) ? `https://${text}` : text,
    /^github\.com\//.test(text),
  );
  if (reference) return gitSourceOp(keepGitDirectory ? { ...reference, keepGitDirectory } : reference);
  if (!/^https?:\/\//i.test(text)) return undefined;
  return { kind: 'source', identifier: text, attributes: { filename: 'context' } };
}

async function readRemote(options: BuildOptions, op: SourceOp, sources: InputSources): Promise<MainInput> {
  if (op.identifier.startsWith('git+'))
    return withArchivedDockerfile(options, { kind: 'remote', op }, sources);
  const content = await sources.remote.content(op, sources.signal);
  if (await isArchive(content))
    return withArchivedDockerfile(options, { kind: 'remote', op, archive: 'context' }, sources);
  const dockerfile = { name: 'Dockerfile', text: await readDockerfileText(content.path) };
  return { dockerfile, mainContext: { kind: 'remote', op } };
}

/** Standard input is an archive with everything, or a Dockerfile alone. */
async function readStandardInput(options: BuildOptions, sources: InputSources): Promise<MainInput> {
  const mainContext = { kind: 'scratch' } as const;
  if (options.dockerfileText !== undefined)
    return { dockerfile: { name: 'Dockerfile', text: options.dockerfileText }, mainContext };
  if (options.file === '-')
    throw new BuildError('USAGE', 'the context and the Dockerfile cannot both come from standard input', {
      hint: 'give the directory of the context, or leave -f out',
    });
  const digest = await sources.store(options.stdin ?? process.stdin);
  const op: SourceOp = {
    kind: 'source',
    identifier: `blob://${digest}`,
    attributes: { filename: 'context' },
  };
  const content = await sources.remote.content(op, sources.signal);
  if (await isArchive(content))
    return withArchivedDockerfile(options, { kind: 'remote', op, archive: 'context' }, sources);
  if (options.file !== undefined)
    return { dockerfile: await readDockerfile(options, undefined), mainContext };
  return { dockerfile: { name: 'Dockerfile', text: await readDockerfileText(content.path) }, mainContext };
}

async function withArchivedDockerfile(
  options: BuildOptions,
  mainContext: ContextSource & { readonly kind: 'remote' },
  { remote, signal }: InputSources,
): Promise<MainInput> {
  if (options.dockerfileText !== undefined || options.file === '-')
    return { dockerfile: await readDockerfile(options, undefined), mainContext };
  const names =
    options.file === undefined ? ['Dockerfile', 'dockerfile'] : [options.file.replace(/^(\.?\/)+/, '')];
  for (const name of names) {
    const bytes = await remote.readFile(mainContext.op, name, signal);
    if (bytes) return { dockerfile: { name: basename(name), text: bytes.toString('utf8') }, mainContext };
  }
  throw new BuildError('DOCKERFILE_NOT_FOUND', `the build context has no file "${names[0]}"`, {
    hint: 'name it with -f FILE, relative to the context',
  });
}

function contextDirectory(options: BuildOptions): string {
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

/** `--build-context`. @throws CONTEXT_NOT_FOUND, INVALID_VALUE */
function readNamedContexts(
  written: Readonly<Record<string, string>>,
  directories: Map<string, string>,
): Map<string, ContextSource> {
  const contexts = new Map<string, ContextSource>();
  for (const [name, value] of Object.entries(written)) {
    if (/^(scratch|context)$/i.test(name))
      throw new BuildError('INVALID_VALUE', `--build-context "${name}" has a reserved name`, {
        hint: 'choose another name; the main context is the argument PATH',
      });
    contexts.set(contextName(name), namedContext(name, value, directories));
  }
  return contexts;
}

function namedContext(name: string, value: string, directories: Map<string, string>): ContextSource {
  const image = /^docker-image:\/\/(.+)$/.exec(value)?.[1];
  if (image !== undefined)
    return image === 'scratch' ? { kind: 'scratch' } : { kind: 'image', reference: image };
  if (value.startsWith('oci-layout://')) return { kind: 'image', reference: value };
  const op = remoteOp(value);
  if (op) {
    const isFile = !op.identifier.startsWith('git+');
    return { kind: 'remote', op: isFile ? { ...op, attributes: { filename: urlFileName(value) } } : op };
  }
  const directory = resolve(value);
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new BuildError('CONTEXT_NOT_FOUND', `the context "${name}" at "${value}" is not a directory`, {
      hint: 'give a directory, docker-image://NAME, oci-layout://DIR, a repository or a URL',
    });
  }
  directories.set(name, directory);
  return { kind: 'local', name, ignorePatterns: readIgnorePatterns(directory, undefined) };
}

interface Dockerfile {
  /** Absolute; undefined when it did not come from a file. */
  readonly path?: string;
  readonly name: string;
  readonly text: string;
}

async function readDockerfile(options: BuildOptions, context: string | undefined): Promise<Dockerfile> {
  if (options.dockerfileText !== undefined) return { name: 'Dockerfile', text: options.dockerfileText };
  if (options.file === '-') {
    return {
      name: 'Dockerfile',
      text: await readLimitedText(options.stdin ?? process.stdin, 'DOCKERFILE_SYNTAX'),
    };
  }
  const path = options.file === undefined ? defaultDockerfile(context!) : resolve(options.file);
  try {
    return { path, name: basename(path), text: await readDockerfileText(path) };
  } catch (error) {
    if (error instanceof BuildError) throw error;
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
    const text = readIgnoreText(candidate);
    if (text !== undefined) return parseIgnoreFile(text);
  }
  return [];
}
