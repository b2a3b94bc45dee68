import { posix } from 'node:path';
import { BuildError, locateError, throwIfAborted } from '../errors.js';
import type { Definition, Edge, Vertex } from '../graph/definition.js';
import type { Digest } from '../oci/digest.js';
import type { ImageConfig } from '../oci/image-config.js';
import { formatPlatform, parsePlatform, type Platform } from '../oci/platform.js';
import type { WarningEvent } from '../progress.js';
import type { Command, CopyCommand, OnbuildCommand, RunCommand } from './command.js';
import { parseCommand } from './commands/parse-command.js';
import { convertCopy, parseOwner } from './convert/copy.js';
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
import { GlobalScope } from './convert/global-scope.js';
import { convertMounts, type MountSource } from './convert/mounts.js';
import { convertRun } from './convert/run.js';
import { addVertex, type ConvertContext, StageState } from './convert/stage-state.js';
import { StepOptions } from './convert/step-options.js';
import type { ImageResolver, ResolvedImage } from './image-resolver.js';
import { parseDockerfile } from './parse.js';
import { platformArgs } from './platform-args.js';
import {
  findStage,
  splitStages,
  type Stage,
  type StagedDockerfile,
  stageLabel,
  stageNotFound,
  targetStage,
} from './stages.js';

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
  readonly imageResolver: ImageResolver;
  readonly ignorePatterns: readonly string[];
  /** `host:ip` */
  readonly extraHosts: readonly string[];
  readonly sourceDateEpochSec?: number;
  readonly signal: AbortSignal;
}

export interface FrontendResult {
  readonly definition: Definition;
  readonly targets: readonly Target[];
  readonly warnings: readonly WarningEvent[];
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
  const staged = splitStages(parsed);
  const vertices = new Map<Digest, Vertex>();
  const warnings = new Map<string, WarningEvent>();
  const context: ConvertContext = {
    vertices,
    escape: parsed.escape,
    warn: (rule, message, location) =>
      void warnings.set(`${rule} ${location.startLine} ${message}`, {
        kind: 'warning',
        atMs: Date.now(),
        rule,
        message,
        location,
      }),
  };
  const platforms = options.platforms.length > 0 ? options.platforms : [options.buildPlatform];
  const targets = await Promise.all(
    platforms.map((platform) => new TargetConverter(options, staged, context, platform).convert()),
  );
  return {
    definition: { vertices, sources: [options.dockerfile] },
    targets,
    warnings: [...warnings.values()],
  };
}

const LAYER_KINDS = new Set<Command['kind']>(['add', 'copy', 'run', 'workdir']);

/** Converts the stages that one target needs, each once. */
class TargetConverter {
  readonly #options: ConvertOptions;
  readonly #stages: readonly Stage[];
  readonly #context: ConvertContext;
  readonly #platform: Platform;
  readonly #target: Stage;
  readonly #globals: GlobalScope;
  readonly #steps: StepOptions;
  readonly #converted = new Map<Stage, Promise<StageState>>();
  readonly #images = new Map<string, Promise<ResolvedImage>>();

  constructor(
    options: ConvertOptions,
    staged: StagedDockerfile,
    context: ConvertContext,
    platform: Platform,
  ) {
    this.#options = options;
    this.#stages = staged.stages;
    this.#context = context;
    this.#platform = platform;
    this.#target = targetStage(staged.stages, options.target);
    const automatic = platformArgs(
      platform,
      options.buildPlatform,
      this.#target.from.stageName ?? String(this.#target.index),
    );
    this.#globals = new GlobalScope(context, staged.globalArgs, automatic, options.buildArgs);
    this.#steps = new StepOptions({ ...options, escape: context.escape });
  }

  async convert(): Promise<Target> {
    const state = await this.#stage(this.#target);
    for (const [name, value] of Object.entries(this.#options.labels))
      state.config.Labels = { ...state.config.Labels, [name]: value };
    const { os, architecture, variant } = state.platform;
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
      platform: state.platform,
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
    throwIfAborted(this.#options.signal);
    this.#prefetch(stage);
    const { state, triggers } = await this.#base(stage);
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
      const other = this.#stageNamed(command.from, stage.index);
      const started: Promise<unknown> = other ? this.#stage(other) : Promise.resolve();
      started.catch(() => undefined);
    }
  }

  #stageNamed(name: string, before: number): Stage | undefined {
    return (
      findStage(this.#stages, name, before) ??
      (/^\d+$/.test(name) && Number(name) < before ? this.#stages[Number(name)] : undefined)
    );
  }

  /** The state that FROM gives, and the triggers that run before the stage's own instructions. */
  async #base(stage: Stage): Promise<{ state: StageState; triggers: readonly Command[] }> {
    const { from } = stage;
    const image = this.#globals.expand(from.image, from.location);
    if (image === '') {
      throw new BuildError('INVALID_VALUE', `base name (${from.image}) should not be blank`, {
        hint: 'give the ARG a default before FROM, or set it with --build-arg',
        location: from.location,
      });
    }
    const written =
      from.platform === undefined ? undefined : this.#globals.expand(from.platform, from.location);
    const label = stageLabel(this.#stages, stage);
    const parent = this.#stages.slice(0, stage.index).findLast((earlier) => earlier.from.stageName === image);
    if (parent) return this.#stageBase(stage, parent, label);
    const platform = written ? parsePlatformAt(written, from.location) : this.#platform;
    const state = new StageState(label, platform);
    if (image === 'scratch') {
      state.config.WorkingDir = '/';
      state.ensurePath();
      return { state, triggers: [] };
    }
    return this.#imageBase(stage, state, image, written !== undefined);
  }

  async #stageBase(
    stage: Stage,
    parent: Stage,
    label: string,
  ): Promise<{ state: StageState; triggers: readonly Command[] }> {
    const parentState = await this.#stage(parent);
    const state = new StageState(label, parentState.platform);
    state.adoptStage(parentState);
    return { state, triggers: this.#takeTriggers(state, stage) };
  }

  async #imageBase(
    stage: Stage,
    state: StageState,
    image: string,
    explicit: boolean,
  ): Promise<{ state: StageState; triggers: readonly Command[] }> {
    const strict = explicit || this.#options.platforms.length > 0;
    const resolved = await this.#image(image, state.platform, strict, stage.from.location);
    const adopted = strict ? state : new StageState(state.label, resolved.platform);
    adopted.adoptImage(resolved.config);
    adopted.shownIndex = 1;
    const total = 1 + stage.commands.filter((command) => LAYER_KINDS.has(command.kind)).length;
    adopted.head = this.#imageEdge(resolved, this.#steps.prefix(adopted, 1, total), stage);
    const isEmpty = resolved.config.rootfs.diff_ids.length === 0;
    if (isEmpty) adopted.head = undefined;
    return { state: adopted, triggers: this.#takeTriggers(adopted, stage) };
  }

  #imageEdge(resolved: ResolvedImage, prefix: string, stage: Stage): Edge {
    const op = { kind: 'source', identifier: resolved.identifier, platform: resolved.platform } as const;
    const name = `${prefix}FROM ${resolved.displayName}@${resolved.digest}`;
    return addVertex(this.#context, op, [], {
      name,
      location: stage.from.location,
      stage: String(stage.index),
      position: `${stage.index}#0`,
    });
  }

  async #image(
    name: string,
    platform: Platform,
    strict: boolean,
    location: Command['location'],
  ): Promise<ResolvedImage> {
    const key = `${name} ${formatPlatform(platform)} ${strict}`;
    let resolved = this.#images.get(key);
    if (!resolved) {
      resolved = this.#options.imageResolver.resolveImage(name, platform, {
        strict,
        signal: this.#options.signal,
      });
      this.#images.set(key, resolved);
    }
    try {
      return await resolved;
    } catch (error) {
      throw locateError(error, { location });
    }
  }

  /** ONBUILD triggers of the base: parsed with the default escape, run once, then gone from the config. */
  #takeTriggers(state: StageState, stage: Stage): Command[] {
    const triggers = state.config.OnBuild ?? [];
    if (triggers.length === 0) return [];
    delete state.config.OnBuild;
    return triggers.map((expression) => this.#parseTrigger(expression, stage));
  }

  #parseTrigger(expression: string, stage: Stage): Command {
    const { location } = stage.from;
    let parsed;
    try {
      parsed = parseDockerfile(`${expression}\n`, location.file);
    } catch (error) {
      throw new BuildError(
        'DOCKERFILE_SYNTAX',
        `the ONBUILD trigger "${expression}" of the base image is not valid: ${(error as Error).message}`,
        { cause: error, location },
      );
    }
    if (parsed.instructions.length !== 1) {
      throw new BuildError(
        'DOCKERFILE_SYNTAX',
        `the ONBUILD trigger "${expression}" of the base image is not one instruction`,
        { location },
      );
    }
    return { ...parseCommand({ ...parsed.instructions[0]!, location }), location, isTrigger: true };
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
          globals: this.#globals.values,
        });
      case 'user':
        return convertUser(context, state, command);
      case 'stopsignal':
        return convertStopsignal(context, state, command);
      case 'maintainer':
        return convertMaintainer(state, command);
      case 'expose':
        return convertExpose(context, state, command);
      case 'volume':
        return convertVolume(context, state, command);
      case 'shell':
        return convertShell(state, command);
      case 'cmd':
        return convertCmd(state, command);
      case 'entrypoint':
        return convertEntrypoint(state, command);
      case 'healthcheck':
        return convertHealthcheck(state, command);
      case 'onbuild':
        return addOnbuild(state, command);
      case 'from':
        throw new BuildError('DOCKERFILE_SYNTAX', "FROM isn't allowed here");
    }
  }

  async #convertCopy(stage: Stage, state: StageState, command: CopyCommand, total: number): Promise<void> {
    const source = command.sources.length === 0 ? undefined : await this.#copySource(stage, command);
    const options = this.#steps.next(stage, state, command, total);
    convertCopy(this.#context, state, command, source, options, this.#options.sourceDateEpochSec);
  }

  async #convertRun(stage: Stage, state: StageState, command: RunCommand, total: number): Promise<void> {
    const options = this.#steps.next(stage, state, command, total);
    const inputs: Edge[] = [];
    const first = state.head ? 1 : 0;
    const sourceOf: MountSource = async (from, source) =>
      from === undefined
        ? this.#contextPart(source, command)
        : from === 'scratch'
          ? undefined
          : this.#namedSource(stage, from, command.location);
    const mounts = await convertMounts(
      this.#context,
      state,
      command,
      sourceOf,
      (edge) => first + inputs.push(edge) - 1,
    );
    convertRun(this.#context, state, command, options, this.#options.network, { mounts, inputs });
  }

  /** What a bind mount shows of the context, as a snapshot of its own: ignore patterns apply, and its content is the key. */
  #contextPart(source: string, command: RunCommand): Edge {
    const action = {
      kind: 'copy',
      input: 0,
      source,
      destination: source,
      destinationIsDirectory: false,
      allowWildcard: false,
      unpack: false,
    } as const;
    const op = { kind: 'file', base: -1, actions: [action] } as const;
    return addVertex(this.#context, op, [this.#contextEdge()], {
      name: `[internal] bind ${source}`,
      location: command.location,
    });
  }

  #contextEdge(): Edge {
    const op = {
      kind: 'source',
      identifier: 'local://context',
      ignorePatterns: this.#options.ignorePatterns,
    } as const;
    return addVertex(this.#context, op, [], { name: '[internal] load build context' });
  }

  /** The local context, an earlier stage by name or index, or an image. */
  async #copySource(stage: Stage, command: CopyCommand): Promise<Edge> {
    if (command.from === undefined) return this.#contextEdge();
    return this.#namedSource(stage, command.from, command.location);
  }

  async #namedSource(stage: Stage, from: string, location: Command['location']): Promise<Edge> {
    const other = this.#stageNamed(from, stage.index);
    if (other) return (await this.#stage(other)).head ?? this.#emptyStage(from, location);
    if (/^\d+$/.test(from)) throw stageNotFound(this.#stages, from, location);
    const later = this.#stages
      .slice(stage.index)
      .find((candidate) => candidate.from.stageName === from.toLowerCase());
    if (later) {
      throw new BuildError(
        'STAGE_CYCLE',
        `stage "${from}" needs to be defined before current stage "${stageLabel(this.#stages, stage) || stage.index}"`,
        {
          hint:
            later === stage
              ? 'a stage cannot copy from itself'
              : `move "FROM ... AS ${from}" above this stage`,
          location,
        },
      );
    }
    return this.#copyImage(stage, from, location);
  }

  async #copyImage(stage: Stage, from: string, location: Command['location']): Promise<Edge> {
    try {
      const resolved = await this.#image(from, this.#platform, false, location);
      return this.#imageEdge(resolved, '', stage);
    } catch (error) {
      if (!(error instanceof BuildError) || /[/:@]/.test(from)) throw error;
      const { message, hint } = stageNotFound(this.#stages.slice(0, stage.index), from, location);
      throw new BuildError(error.code, `from=${from} is neither a stage nor an image: ${error.message}`, {
        cause: error,
        hint: `${message}; ${hint}`,
        location,
      });
    }
  }

  #emptyStage(from: string, location: Command['location']): never {
    throw new BuildError('COPY_SOURCE_NOT_FOUND', `the stage "${from}" has no files to copy from`, {
      location,
    });
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

function addOnbuild(state: StageState, command: OnbuildCommand): void {
  state.config.OnBuild = [...(state.config.OnBuild ?? []), command.expression];
}

function parsePlatformAt(text: string, location: Command['location']): Platform {
  try {
    return parsePlatform(text);
  } catch (error) {
    throw locateError(error, { location });
  }
}
