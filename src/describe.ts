import { BuildError } from './errors.js';
import { type Compilation, compile, type CompileMode, openInput, withSource } from './compile.js';
import { type DefinitionDocument, definitionDocument } from './definition-document.js';
import type { Outline } from './frontend/outline.js';
import { describedBy } from './frontend/outline.js';
import { parseDockerfile } from './frontend/parse.js';
import { splitStages } from './frontend/stages.js';
import type { SourceLocation } from './errors.js';
import type { BuildOptions } from './options.js';
import type { WarningEvent } from './progress.js';
import { createRedaction, type Redaction } from './redaction.js';
import { SecretVault } from './secrets/secret-vault.js';
import { openStore } from './store.js';

export interface CheckResult {
  readonly warnings: readonly WarningEvent[];
  /** Why the Dockerfile could not be built, where it could not. */
  readonly error?: BuildError;
  readonly dockerfile: { readonly name: string; readonly text: string };
}

export interface TargetDescription {
  readonly name?: string;
  readonly description?: string;
  readonly default: boolean;
  readonly base: string;
  readonly platform?: string;
  readonly location: SourceLocation;
}

/** Asks the rules about a Dockerfile, all of its stages unless a target is given, and builds nothing. */
export async function checkBuild(options: BuildOptions): Promise<CheckResult> {
  const warnings: WarningEvent[] = [];
  const onWarning = (warning: WarningEvent) => void warnings.push(warning);
  try {
    const { input, frontend } = await compileOnly(options, { convertsAll: true, onWarning });
    return { warnings: frontend.warnings, dockerfile: input.dockerfile };
  } catch (error) {
    if (!(error instanceof BuildError) || !error.source) throw error;
    // A file that says error=true wants to fail builds; a check says what was found anyway.
    if (error.code === 'CHECK_FAILED') return { warnings, dockerfile: error.source };
    return { warnings, error, dockerfile: error.source };
  }
}

/** What a target takes from outside: arguments, secrets, agents, cache mounts. Builds nothing. */
export async function outlineBuild(options: BuildOptions): Promise<Outline> {
  const { frontend } = await compileOnly(options);
  return frontend.outline;
}

/**
 * What a build would do, as data. Builds nothing, but refuses what the build would refuse, and asks for its images: their digests
 * are part of it.
 */
export async function describeDefinition(options: BuildOptions): Promise<DefinitionDocument> {
  const vault = new SecretVault(options.secrets ?? {});
  const { frontend } = await compileOnly(options, { describesOnly: false, vault });
  return definitionDocument(frontend, createRedaction(vault).text);
}

/** The stages of a Dockerfile. Builds nothing. */
export async function listTargets(options: BuildOptions): Promise<readonly TargetDescription[]> {
  const vault = new SecretVault(options.secrets ?? {});
  return withoutSecrets(createRedaction(vault), () => targetsOf(options, vault));
}

async function targetsOf(options: BuildOptions, vault: SecretVault): Promise<readonly TargetDescription[]> {
  const signal = options.signal ?? new AbortController().signal;
  using store = openStore(options);
  const { input } = await openInput(options, store, signal, vault);
  const { dockerfile } = input;
  try {
    const { stages } = splitStages(parseDockerfile(dockerfile.text, dockerfile.name));
    return stages.map(({ index, from }) => {
      const description =
        from.stageName === undefined ? undefined : describedBy(from.comments, from.stageName);
      return {
        ...(from.stageName === undefined ? {} : { name: from.stageName }),
        ...(description === undefined ? {} : { description }),
        default: index === stages.length - 1,
        base: from.image,
        ...(from.platform === undefined ? {} : { platform: from.platform }),
        location: from.location,
      };
    });
  } catch (error) {
    throw await withSource(error, input);
  }
}

async function compileOnly(options: BuildOptions, mode: CompileMode = {}): Promise<Compilation> {
  const signal = options.signal ?? new AbortController().signal;
  const vault = mode.vault ?? new SecretVault(options.secrets ?? {});
  using store = openStore(options);
  return await withoutSecrets(createRedaction(vault), async () => {
    const compilation = await compile(options, store, signal, { describesOnly: true, ...mode, vault });
    compilation.agents.close();
    return compilation;
  });
}

/** A repository that cannot be had is named in the error, and its URL can have a password. */
async function withoutSecrets<T>(redaction: Redaction, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw redaction.error(error);
  }
}
