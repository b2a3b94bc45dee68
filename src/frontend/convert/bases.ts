import { BuildError, type SourceLocation } from '../../errors.js';
import { formatPlatform, type Platform } from '../../oci/platform.js';
import type { Command } from '../command.js';
import { type ContextSource, findContext, type NamedContexts } from '../context-source.js';
import { type Stage, stageBefore, stageLabel } from '../stages.js';
import type { ExpandedFrom } from './from.js';
import type { Sources } from './sources.js';
import { type ConvertContext, StageState } from './stage-state.js';
import { stepPrefix } from './step-options.js';
import { takeTriggers } from './triggers.js';

/** What one entry that a stage takes over costs in memory, about. */
const INHERITED_BYTES = 16;

/** Instructions that make a layer. */
export const LAYER_KINDS = new Set<Command['kind']>(['add', 'copy', 'run', 'workdir']);

export interface BasesOptions {
  readonly stages: readonly Stage[];
  readonly froms: readonly ExpandedFrom[];
  readonly namedContexts: NamedContexts;
  readonly platform: Platform;
  /** Platforms were asked for: images must have them. */
  readonly isStrict: boolean;
  readonly severalPlatforms: boolean;
  /** Nothing is built: an image that cannot be had is taken as one without a config. */
  readonly toleratesUnknownImages: boolean;
  readonly stageState: (stage: Stage) => Promise<StageState>;
}

export interface StageBase {
  readonly state: StageState;
  /** ONBUILD triggers, which run before the stage's own instructions. */
  readonly triggers: readonly Command[];
  /** A context took the place of the whole stage. */
  readonly isReplaced: boolean;
}

/** Finds out what each stage starts from: an earlier stage, an image, a context in its place, or nothing. */
export class Bases {
  readonly #options: BasesOptions;
  readonly #sources: Sources;
  readonly #context: ConvertContext;

  constructor(options: BasesOptions, sources: Sources, context: ConvertContext) {
    this.#options = options;
    this.#sources = sources;
    this.#context = context;
  }

  async of(stage: Stage): Promise<StageBase> {
    const { stages, froms, namedContexts, isStrict } = this.#options;
    const { image, platform: written, uses } = froms[stage.index]!;
    const { stageName, location } = stage.from;
    this.#context.outline.useGlobals(uses);
    const platform = written ?? this.#options.platform;
    const label = stageLabel(stages, stage);
    const instead = stageName === undefined ? undefined : findContext(namedContexts, stageName, platform);
    if (instead) {
      const state = await this.#fromContext(instead, new StageState(label, platform), location);
      return { state, triggers: [], isReplaced: true };
    }
    const parent = stageBefore(stages, image, stage.index);
    if (parent) return this.#fromStage(stage, parent, label);
    const state = new StageState(label, platform);
    if (image === 'scratch') {
      state.imagePlatform = this.#options.platform;
      return { state: scratch(state), triggers: [], isReplaced: false };
    }
    const context = findContext(namedContexts, image, platform);
    if (context) {
      const adopted = await this.#fromContext(context, state, location);
      return { state: adopted, triggers: takeTriggers(adopted, stage), isReplaced: false };
    }
    return this.#fromImage(stage, state, image, written !== undefined || isStrict);
  }

  async #fromStage(stage: Stage, parent: Stage, label: string): Promise<StageBase> {
    const parentState = await this.#options.stageState(parent);
    const state = new StageState(label, parentState.platform);
    const { history, env, buildArgs } = parentState;
    this.#context.budget.spend(INHERITED_BYTES * (history.length + env.size + buildArgs.length + 1));
    state.adoptStage(parentState);
    return { state, triggers: takeTriggers(state, stage), isReplaced: false };
  }

  async #fromContext(
    source: ContextSource,
    state: StageState,
    location: SourceLocation,
  ): Promise<StageState> {
    if (source.kind === 'image') {
      const resolved = await this.#sources.image(source.reference, state.platform, false, location);
      const adopted = new StageState(state.label, resolved.platform);
      adopted.adoptImage(resolved.config);
      if (resolved.config.rootfs.diff_ids.length > 0)
        adopted.head = this.#sources.imageEdge(resolved, '[context] ', location);
      return adopted;
    }
    scratch(state).head = await this.#sources.contextEdge(source, state.platform, location);
    return state;
  }

  async #fromImage(stage: Stage, state: StageState, image: string, strict: boolean): Promise<StageBase> {
    const { location } = stage.from;
    let resolved;
    try {
      resolved = await this.#sources.image(image, state.platform, strict, location);
    } catch (error) {
      if (!this.#options.toleratesUnknownImages || !(error instanceof BuildError)) throw error;
      scratch(state).hasUnknownBase = true;
      return { state, triggers: [], isReplaced: false };
    }
    this.#lintPlatform(image, state.platform, resolved.platform, location);
    const adopted = strict ? state : new StageState(state.label, resolved.platform);
    adopted.adoptImage(resolved.config);
    adopted.shownIndex = 1;
    const total = 1 + stage.commands.filter((command) => LAYER_KINDS.has(command.kind)).length;
    const prefix = stepPrefix(adopted, 1, total, this.#options.severalPlatforms);
    if (resolved.config.rootfs.diff_ids.length > 0)
      adopted.head = this.#sources.imageEdge(resolved, prefix, location, stage);
    if (!/[:@]/.test(image.slice(image.lastIndexOf('/') + 1)) || /:latest$/.test(image))
      this.#context.linter.report('UnpinnedBaseImage', `Base image ${image} has no fixed version`, location);
    return { state: adopted, triggers: takeTriggers(adopted, stage), isReplaced: false };
  }

  #lintPlatform(image: string, expected: Platform, actual: Platform, location: SourceLocation): void {
    if (expected.os === actual.os && expected.architecture === actual.architecture) return;
    this.#context.linter.report(
      'InvalidBaseImagePlatform',
      `Base image ${image} was pulled with platform "${formatPlatform(actual)}", expected "${formatPlatform(expected)}" for current build`,
      location,
    );
  }
}

function scratch(state: StageState): StageState {
  state.config.WorkingDir = state.platform.os === 'windows' ? '\\' : '/';
  state.ensurePath();
  return state;
}
