import { posix } from 'node:path';
import { BuildError, locateError, throwIfAborted } from '../errors.js';
import type { Definition, Edge, Vertex } from '../graph/definition.js';
import type { Digest } from '../oci/digest.js';
import type { ImageConfig } from '../oci/image-config.js';
import type { Platform } from '../oci/platform.js';
import type { WarningEvent } from '../progress.js';
import type { Command, CopyCommand, OnbuildCommand, RunCommand } from './command.js';
import type { ContextSource, NamedContexts } from './context-source.js';
import { Bases, LAYER_KINDS } from './convert/bases.js';
import { convertCopy, parseOwner } from './convert/copy.js';
import { type ExpandedFrom, expandFroms, lintDefaultBases } from './convert/from.js';
import { GlobalScope } from './convert/global-scope.js';
import {
  convertArg,
  convertCmd,
  convertEntrypoint,
  convertEnv,
  convertExpose,
  convertHealthcheck,
  convertLabel,
  convertMaintainer,
  convertShell,
  convertStopsignal,
  convertUser,
  convertVolume,
  workdirPath,
} from './convert/metadata.js';
import { convertMounts, type MountSource } from './convert/mounts.js';
import { convertRun } from './convert/run.js';
import { resolveSourceDateEpoch, type SourceInspector } from './convert/source-date-epoch.js';
import { Sources } from './convert/sources.js';
import { addVertex, type ConvertContext, type StageState } from './convert/stage-state.js';
import { StepOptions } from './convert/step-options.js';
import { TextBudget } from './convert/text-budget.js';
import type { ImageResolver } from './image-resolver.js';
import { lintFile } from './lint/file-rules.js';
import { lintRun } from './lint/instruction-rules.js';
import { Linter } from './lint/linter.js';
import { describedBy, type Outline, OutlineRecorder } from './outline.js';
import { parseDockerfile } from './parse.js';
import { platformArgs } from './platform-args.js';
import { splitStages, type Stage, type StagedDockerfile, targetStage } from './stages.js';

export interface ConvertOptions {
  readonly dockerfile: { readonly name: string; readonly text: string };
  readonly target?: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Platforms of the result; empty is this machine's, and takes what a base image has. */
  readonly platforms: readonly Platform[];
  readonly buildPlatform: Platform;
  readonly labels: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  /** Names of stages that are built again. */
  readonly noCacheFilter: readonly string[];
  readonly network: 'default' | 'none' | 'host';
  /** What RUN may ask for: `network.host`, `security.insecure`. */
  readonly allow: readonly string[];
  readonly shmSizeBytes?: number;
  readonly ulimits: readonly string[];
  readonly imageResolver: ImageResolver;
  readonly sourceInspector: SourceInspector;
  readonly mainContext: ContextSource;
  readonly namedContexts: NamedContexts;
  /** `host:ip` */
  readonly extraHosts: readonly string[];
  /** Takes the place of the build argument SOURCE_DATE_EPOCH. */
  readonly sourceDateEpochSec?: number;
  /** Rules of tsbuild's own set are asked, too. */
  readonly lintsExtra?: boolean;
  /** Nothing is going to be built: images that cannot be had are tolerated. */
  readonly describesOnly?: boolean;
  /** Without a target all stages are converted. */
  readonly convertsAll?: boolean;
  /** Hears of each warning at once, also of those before an error. */
  readonly onWarning?: (warning: WarningEvent) => void;
  readonly signal: AbortSignal;
}

export interface FrontendResult {
  readonly definition: Definition;
  readonly targets: readonly Target[];
  readonly warnings: readonly WarningEvent[];
  readonly outline: Outline;
  /** The result is an index, also of one platform. */
  readonly isMultiPlatform: boolean;
  readonly sourceDateEpochSec?: number;
}

/** One platform of the result. */
export interface Target {
  readonly platform: Platform;
  /** Undefined when the image has no layer. */
  readonly head?: Edge;
  /** Without rootfs and without times of the entries that this build adds. */
  readonly config: ImageConfig;
  readonly baseHistoryLength: number;
}

/**
 * Compiles a Dockerfile into the vertices and image configs of its target, for each platform. Only stages that the target
 * reaches are converted; images are resolved at the same time, each once.
 * @throws DOCKERFILE_SYNTAX, STAGE_NOT_FOUND, EXPANSION_FAILED, INVALID_VALUE, … with the place; and what the resolver throws
 */
export async function convertDockerfile(options: ConvertOptions): Promise<FrontendResult> {
  const parsed = parseDockerfile(options.dockerfile.text, options.dockerfile.name);
  const linter = new Linter(parsed, {
    checkOption: options.buildArgs['BUILDKIT_DOCKERFILE_CHECK'],
    extra: options.lintsExtra,
    onWarning: options.onWarning,
  });
  return convertParsed(options, splitStages(parsed), {
    parsed,
    linter,
    outline: new OutlineRecorder(),
    vertices: new Map<Digest, Vertex>(),
    escape: parsed.escape,
    budget: new TextBudget(),
  });
}

interface FileContext extends ConvertContext {
  readonly parsed: ReturnType<typeof parseDockerfile>;
}

async function convertParsed(
  options: ConvertOptions,
  staged: StagedDockerfile,
  context: FileContext,
): Promise<FrontendResult> {
  const { linter, outline, vertices } = context;
  const { stages, globalArgs } = staged;
  lintFile(context.parsed, stages, linter);
  const target = targetStage(stages, options.target);
  const platforms = options.platforms.length > 0 ? options.platforms : [options.buildPlatform];
  const isMultiPlatform = severalPlatformsIn(options);
  const scopeOf = (platform: Platform, buildArgs: ConvertOptions['buildArgs'], recorder?: OutlineRecorder) =>
    new GlobalScope(
      context.escape,
      globalArgs,
      platformArgs(platform, options.buildPlatform, options.target || (target.from.stageName ?? 'default')),
      buildArgs,
      recorder,
    );
  lintDefaultBases(stages, () => scopeOf(platforms[0]!, {}), linter);
  const epoch = await epochOf(options, stages, context, scopeOf(platforms[0]!, options.buildArgs, outline));
  const targets = await Promise.all(
    platforms
      .map((platform) => {
        const globals = scopeOf(platform, epoch.buildArgs);
        globals.replace('SOURCE_DATE_EPOCH', epoch.text);
        const froms = expandFroms(stages, globals, linter);
        const isDefaultTarget = options.target === undefined;
        return new TargetConverter(
          { ...options, ...epoch, platform, target, isDefaultTarget, stages, globals, froms },
          context,
        );
      })
      .map((converter) => converter.convert()),
  );
  linter.failOnWarning();
  const { stageName: name, comments } = target.from;
  const description = name === undefined ? undefined : describedBy(comments, name);
  return {
    definition: { vertices, sources: [options.dockerfile] },
    targets,
    warnings: linter.warnings,
    isMultiPlatform,
    outline: {
      ...(name === undefined ? {} : { name }),
      ...(description === undefined ? {} : { description }),
      ...outline.outline(),
    },
    ...(epoch.sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec: epoch.sourceDateEpochSec }),
  };
}

/** Build argument BUILDKIT_MULTI_PLATFORM, else whether there are several. @throws INVALID_VALUE */
function severalPlatformsIn({ buildArgs, platforms }: ConvertOptions): boolean {
  const written = buildArgs['BUILDKIT_MULTI_PLATFORM'];
  if (!written) return platforms.length > 1;
  if (/^(1|t|true)$/i.test(written)) return true;
  if (!/^(0|f|false)$/i.test(written))
    throw new BuildError('INVALID_VALUE', `invalid value "${written}" of BUILDKIT_MULTI_PLATFORM`, {
      hint: 'use true or false',
    });
  if (platforms.length > 1)
    throw new BuildError(
      'INVALID_VALUE',
      'BUILDKIT_MULTI_PLATFORM is false and there are several platforms',
      {
        hint: 'leave the build argument out, or give one --platform',
      },
    );
  return false;
}

/** SOURCE_DATE_EPOCH in seconds, and the build arguments with its value in place of its name. */
async function epochOf(
  options: ConvertOptions,
  stages: readonly Stage[],
  context: ConvertContext,
  globals: GlobalScope,
) {
  const { SOURCE_DATE_EPOCH: given, ...rest } = options.buildArgs;
  const written = given ?? (globals.values.get('SOURCE_DATE_EPOCH') || undefined);
  const sourceDateEpochSec =
    options.sourceDateEpochSec ??
    (written === undefined
      ? undefined
      : await resolveSourceDateEpoch(written, {
          ...options,
          platform: options.platforms[0] ?? options.buildPlatform,
          stages,
          globals,
          escape: context.escape,
          inspector: options.sourceInspector,
        }));
  const text = sourceDateEpochSec === undefined ? undefined : String(sourceDateEpochSec);
  const buildArgs = given === undefined || text === undefined ? rest : { ...rest, SOURCE_DATE_EPOCH: text };
  return { text, buildArgs, ...(sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec }) };
}

interface TargetOptions extends Omit<ConvertOptions, 'target'> {
  readonly platform: Platform;
  readonly target: Stage;
  /** No target was named. */
  readonly isDefaultTarget: boolean;
  readonly stages: readonly Stage[];
  readonly globals: GlobalScope;
  readonly froms: readonly ExpandedFrom[];
}

/** Converts the stages that one platform's target needs, each once. */
class TargetConverter {
  readonly #options: TargetOptions;
  readonly #context: ConvertContext;
  readonly #sources: Sources;
  readonly #bases: Bases;
  readonly #steps: StepOptions;
  readonly #converted = new Map<Stage, Promise<StageState>>();

  constructor(options: TargetOptions, context: ConvertContext) {
    this.#options = options;
    this.#context = context;
    this.#steps = new StepOptions({ ...options, escape: context.escape });
    const stageState = (stage: Stage) => this.#stage(stage);
    const stageHead = async (stage: Stage) => (await this.#stage(stage)).head;
    const toleratesUnknownImages = options.describesOnly ?? false;
    this.#sources = new Sources({ ...options, stageHead, toleratesUnknownImages }, context);
    this.#bases = new Bases(
      {
        ...options,
        stageState,
        isStrict: options.platforms.length > 0,
        severalPlatforms: options.platforms.length > 1,
        toleratesUnknownImages,
      },
      this.#sources,
      context,
    );
  }

  async convert(): Promise<Target> {
    const { target, platform, platforms, convertsAll, isDefaultTarget, stages } = this.#options;
    if (convertsAll && isDefaultTarget) for (const stage of stages) await this.#stage(stage);
    const state = await this.#stage(target);
    for (const [name, value] of Object.entries(this.#options.labels))
      state.config.Labels = { ...state.config.Labels, [name]: value };
    // Platforms that were asked for are those of the image, whatever its base was made for.
    const own = platforms.length > 0 ? platform : (state.imagePlatform ?? state.platform);
    const { os, architecture, variant } = own;
    const config: ImageConfig = {
      architecture,
      os,
      ...(variant === undefined ? {} : { variant }),
      ...state.image,
      ...(state.author === undefined ? {} : { author: state.author }),
      config: state.config,
      rootfs: { type: 'layers', diff_ids: [] },
      history: state.history,
    };
    return {
      platform: own,
      config,
      baseHistoryLength: state.baseHistoryLength,
      ...(state.head ? { head: state.head } : {}),
    };
  }

  #stage(stage: Stage): Promise<StageState> {
    let converted = this.#converted.get(stage);
    if (!converted) {
      converted = this.#convertStage(stage);
      this.#converted.set(stage, converted);
    }
    return converted;
  }

  async #convertStage(stage: Stage): Promise<StageState> {
    // A turn of its own: a chain of ten thousand stages must not be one on the stack.
    await undefined;
    throwIfAborted(this.#options.signal);
    this.#prefetch(stage);
    const { state, triggers, isReplaced } = await this.#bases.of(stage);
    if (isReplaced) return state;
    const commands = [...triggers, ...stage.commands];
    const layers = commands.filter((command) => LAYER_KINDS.has(command.kind)).length;
    const total = layers + (state.shownIndex > 0 ? 1 : 0);
    for (const command of commands) {
      state.instruction += 1;
      try {
        await this.#convertCommand(stage, state, command, total);
      } catch (error) {
        throw locateError(error, { location: command.location });
      }
    }
    return state;
  }

  /** Starts what COPY --from will need, so that stages and images are resolved at the same time. */
  #prefetch(stage: Stage): void {
    for (const command of stage.commands) {
      if (command.kind !== 'copy' || command.from === undefined) continue;
      const other = this.#sources.stageNamed(command.from, stage.index);
      const started: Promise<unknown> = other ? this.#stage(other) : Promise.resolve();
      started.catch(() => undefined);
    }
  }

  async #convertCommand(stage: Stage, state: StageState, command: Command, total: number): Promise<void> {
    const context = this.#context;
    switch (command.kind) {
      case 'run':
        return this.#convertRun(stage, state, command, total);
      case 'copy':
      case 'add':
        return this.#convertCopy(stage, state, command, total);
      case 'workdir':
        return this.#convertWorkdir(stage, state, command, total);
      case 'env':
        return convertEnv(context, state, command);
      case 'label':
        return convertLabel(context, state, command);
      case 'arg':
        return convertArg(context, state, command, {
          buildArgs: this.#options.buildArgs,
          globals: this.#options.globals.values,
        });
      case 'user':
        return convertUser(context, state, command);
      case 'stopsignal':
        return convertStopsignal(context, state, command);
      case 'maintainer':
        return convertMaintainer(context, state, command);
      case 'expose':
        return convertExpose(context, state, command);
      case 'volume':
        return convertVolume(context, state, command);
      case 'shell':
        return convertShell(state, command);
      case 'cmd':
        return convertCmd(context, state, command);
      case 'entrypoint':
        return convertEntrypoint(context, state, command);
      case 'healthcheck':
        return convertHealthcheck(context, state, command);
      case 'onbuild':
        return addOnbuild(context, state, command);
      case 'from':
        throw new BuildError('DOCKERFILE_SYNTAX', "FROM isn't allowed here");
    }
  }

  async #convertCopy(stage: Stage, state: StageState, command: CopyCommand, total: number): Promise<void> {
    const { location, from } = command;
    const source = () =>
      from === undefined ? this.#sources.mainContext(location) : this.#sources.named(stage, from, location);
    const { mainContext, sourceDateEpochSec } = this.#options;
    const options = this.#steps.next(stage, state, command, total);
    await convertCopy(this.#context, state, command, source, options, {
      ignorePatterns: mainContext.kind === 'local' ? mainContext.ignorePatterns : [],
      ...(sourceDateEpochSec === undefined ? {} : { timestampSec: sourceDateEpochSec }),
    });
  }

  async #convertRun(stage: Stage, state: StageState, command: RunCommand, total: number): Promise<void> {
    lintRun(command, this.#context.linter);
    const options = this.#steps.next(stage, state, command, total);
    const inputs: Edge[] = [];
    const first = state.head ? 1 : 0;
    const sourceOf: MountSource = async (from, source) =>
      from === undefined
        ? this.#sources.contextPart(source, command)
        : from === 'scratch'
          ? undefined
          : this.#sources.named(stage, stageName(from), command.location);
    const mounts = await convertMounts(this.#context, state, command, {
      sourceOf,
      addInput: (edge) => first + inputs.push(edge) - 1,
      cacheNamespace: this.#options.buildArgs['BUILDKIT_CACHE_MOUNT_NS'],
    });
    convertRun(this.#context, state, command, options, this.#options, { mounts, inputs });
  }

  #convertWorkdir(
    stage: Stage,
    state: StageState,
    command: Extract<Command, { kind: 'workdir' | 'user' | 'stopsignal' | 'maintainer' }>,
    total: number,
  ): void {
    const written = workdirPath(this.#context, state, command);
    const path = posix.resolve('/', written);
    const options = this.#steps.next(stage, state, command, total);
    state.config.WorkingDir = written;
    if (path !== '/') {
      const { sourceDateEpochSec } = this.#options;
      const user = state.config.User;
      state.head = addVertex(
        this.#context,
        {
          kind: 'file',
          base: state.head ? 0 : -1,
          actions: [
            {
              kind: 'mkdir',
              path,
              mode: 0o755,
              ...(user ? { owner: parseOwner(user) } : {}),
              ...(sourceDateEpochSec === undefined ? {} : { timestampSec: sourceDateEpochSec }),
            },
          ],
          platform: state.platform,
        },
        state.head ? [state.head] : [],
        options,
      );
    }
    state.addHistory(`WORKDIR ${written}`, path !== '/');
  }
}

/** Of `RUN --mount=from=`, which knows stages by name only. @throws STAGE_NOT_FOUND for a number */
function stageName(from: string): string {
  if (!/^\d+$/.test(from)) return from;
  throw new BuildError('STAGE_NOT_FOUND', `a mount cannot name the stage by its number "${from}"`, {
    hint: 'give the stage a name, FROM … AS NAME, and write from=NAME',
  });
}

function addOnbuild(context: ConvertContext, state: StageState, command: OnbuildCommand): void {
  const onBuild = state.config.OnBuild ?? [];
  context.budget.spend(onBuild.length * 8);
  state.config.OnBuild = [...onBuild, command.expression];
}
