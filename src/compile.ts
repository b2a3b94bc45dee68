import { type BuildInput, readBuildInput } from './build-input.js';
import { join } from 'node:path';
import { BuildError, StepFailures } from './errors.js';
import { locateWord } from './frontend/ast.js';
import { convertDockerfile, type FrontendResult } from './frontend/convert.js';
import { hostPlatform, parsePlatform } from './oci/platform.js';
import type { BuildOptions } from './options.js';
import type { WarningEvent } from './progress.js';
import { SecretVault } from './secrets/secret-vault.js';
import type { Store } from './store.js';
import { SshAgents } from './worker/ops/ssh-agents.js';
import { GitSource } from './worker/source/git-source.js';
import { HttpSource } from './worker/source/http-source.js';
import { RemoteSources } from './worker/source/remote-sources.js';

/** What a build reads before it parses anything, and where the rest comes from. */
export interface OpenInput {
  readonly input: BuildInput;
  readonly remote: RemoteSources;
  readonly agents: SshAgents;
  readonly secret: (id: string) => Buffer | undefined;
}

/** A Dockerfile as what is to be done, with the sources that its build reads. */
export interface Compilation extends OpenInput {
  readonly frontend: FrontendResult;
}

export interface CompileMode {
  /** Nothing is going to be built. */
  readonly describesOnly?: boolean;
  /** All stages are looked at, unless a target is named. */
  readonly convertsAll?: boolean;
  readonly onWarning?: (warning: WarningEvent) => void;
  /** The secrets, where the caller has them as well. */
  readonly vault?: SecretVault;
}

/** Reads the Dockerfile and finds the contexts. The caller closes the agents. */
export async function openInput(
  options: BuildOptions,
  store: Store,
  signal: AbortSignal,
  vault = new SecretVault(options.secrets ?? {}),
): Promise<OpenInput> {
  const agents = new SshAgents(options.ssh ?? {});
  const secret = (id: string) => vault.read(id);
  const remote = new RemoteSources({
    content: store.content,
    http: new HttpSource({
      content: store.content,
      directory: join(store.state.sources, 'http'),
      lock: store.lock,
      secret,
    }),
    git: new GitSource({
      directory: join(store.state.sources, 'git'),
      lock: store.lock,
      secret,
      sshSocket: () => agents.existingSocket('default'),
    }),
  });
  const input = await readBuildInput(options, {
    remote,
    store: async (stream) => (await store.content.write(stream, { signal })).digest,
    signal,
  });
  return { input, remote, agents, secret };
}

/**
 * Reads the context and the Dockerfile and compiles it. The caller closes the agents.
 * @throws BuildError, with the Dockerfile's text for an excerpt
 */
export async function compile(
  options: BuildOptions,
  store: Store,
  signal: AbortSignal,
  { vault, ...mode }: CompileMode = {},
): Promise<Compilation> {
  const opened = await openInput(options, store, signal, vault);
  const { input, remote } = opened;
  try {
    const frontend = await convert(options, input, store, remote, signal, mode);
    return { ...opened, frontend };
  } catch (error) {
    throw await withSource(error, input);
  }
}

function convert(
  options: BuildOptions,
  input: BuildInput,
  store: Store,
  remote: RemoteSources,
  signal: AbortSignal,
  mode: CompileMode,
): Promise<FrontendResult> {
  return convertDockerfile({
    dockerfile: input.dockerfile,
    buildArgs: input.buildArgs,
    platforms: (options.platforms ?? []).map(parsePlatform),
    buildPlatform: hostPlatform(),
    labels: options.labels ?? {},
    noCache: options.noCache ?? false,
    noCacheFilter: options.noCacheFilter ?? [],
    network: options.network ?? 'default',
    allow: options.allow ?? [],
    imageResolver: store.imageSource,
    sourceInspector: remote,
    mainContext: input.mainContext,
    namedContexts: input.namedContexts,
    extraHosts: options.addHosts ?? [],
    ulimits: options.ulimits ?? [],
    lintsExtra: options.checksExtra ?? false,
    signal,
    ...(options.shmSizeBytes === undefined ? {} : { shmSizeBytes: options.shmSizeBytes }),
    ...(options.target === undefined ? {} : { target: options.target }),
    ...(options.sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec: options.sourceDateEpochSec }),
    ...mode,
  });
}

/** Gives an error with a place in the Dockerfile the Dockerfile's text for the excerpt, and the word that its message quotes. */
export async function withSource(error: unknown, input: Pick<BuildInput, 'dockerfile'>): Promise<unknown> {
  const { dockerfile } = input;
  if (error instanceof StepFailures) {
    const failures = await Promise.all(error.failures.map((failure) => withSource(failure, input)));
    return new StepFailures(failures as BuildError[]);
  }
  if (!(error instanceof BuildError) || error.source || error.location?.file !== dockerfile.name)
    return error;
  const quoted = [...error.message.matchAll(/"([^"]+)"/g)].flatMap((match) => [
    match[1]!,
    match[1]!.replace(/^\//, ''),
  ]);
  return error.withSource(dockerfile, await locateWord(dockerfile.text, error.location, quoted));
}
