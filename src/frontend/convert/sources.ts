import { BuildError, locateError, type SourceLocation } from '../../errors.js';
import type { Edge } from '../../graph/definition.js';
import { formatPlatform, type Platform } from '../../oci/platform.js';
import type { RunCommand } from '../command.js';
import { type ContextSource, findContext, type NamedContexts } from '../context-source.js';
import { redactUrl } from '../git-reference.js';
import type { ImageResolver, ResolvedImage } from '../image-resolver.js';
import { findStage, type Stage, stageLabel, stageNotFound } from '../stages.js';
import { addVertex, type ConvertContext } from './stage-state.js';
import { positionOf } from './step-options.js';

export interface SourcesOptions {
  readonly mainContext: ContextSource;
  readonly namedContexts: NamedContexts;
  readonly imageResolver: ImageResolver;
  readonly stages: readonly Stage[];
  /** Files of a stage, once it is converted; undefined for an empty one. */
  readonly stageHead: (stage: Stage) => Promise<Edge | undefined>;
  readonly platform: Platform;
  /** Nothing is built: an image that cannot be had is taken as an empty one. */
  readonly toleratesUnknownImages: boolean;
  readonly signal: AbortSignal;
}

/** Gives the edges that COPY, ADD and mounts read from: the context, contexts with names, stages, images. */
export class Sources {
  readonly #options: SourcesOptions;
  readonly #context: ConvertContext;
  readonly #images = new Map<string, Promise<ResolvedImage>>();

  constructor(options: SourcesOptions, context: ConvertContext) {
    this.#options = options;
    this.#context = context;
  }

  /** An earlier stage by name or index. */
  stageNamed(name: string, before: number): Stage | undefined {
    const { stages } = this.#options;
    return (
      findStage(stages, name, before) ??
      (/^\d+$/.test(name) && Number(name) < before ? stages[Number(name)] : undefined)
    );
  }

  /** The main build context. */
  async mainContext(location: SourceLocation): Promise<Edge> {
    const edge = await this.contextEdge(this.#options.mainContext, this.#options.platform, location);
    if (edge) return edge;
    throw new BuildError('COPY_SOURCE_NOT_FOUND', 'this build has no context to copy from', {
      hint: 'give a directory in place of "-", or copy from a stage with --from',
      location,
    });
  }

  /**
   * What a bind mount shows of the context, as a snapshot of its own: ignore patterns apply, and its content is the key.
   */
  async contextPart(source: string, { location }: RunCommand): Promise<Edge> {
    const edge = await this.mainContext(location);
    if (this.#options.mainContext.kind !== 'local') return edge;
    return this.#copied(edge, source, source, `[internal] bind ${source}`);
  }

  /** `--from`: an earlier stage, a context with a name, an image. @throws STAGE_NOT_FOUND, STAGE_CYCLE, IMAGE_NOT_FOUND, … */
  async named(stage: Stage, from: string, location: SourceLocation): Promise<Edge> {
    const other = this.stageNamed(from, stage.index);
    if (other) return (await this.#options.stageHead(other)) ?? this.#empty();
    const { stages } = this.#options;
    if (/^\d+$/.test(from)) throw stageNotFound(stages, from, location);
    this.#refuseLater(stage, from, location);
    const context = findContext(this.#options.namedContexts, from, this.#options.platform);
    if (context) return (await this.contextEdge(context, this.#options.platform, location)) ?? this.#empty();
    return this.#copyImage(stage, from, location);
  }

  /** The files of a context; undefined when it is empty. */
  async contextEdge(
    source: ContextSource,
    platform: Platform,
    location: SourceLocation,
  ): Promise<Edge | undefined> {
    switch (source.kind) {
      case 'scratch':
        return undefined;
      case 'local': {
        const { name, ignorePatterns } = source;
        const op = { kind: 'source', identifier: `local://${name}`, ignorePatterns } as const;
        const what = name === 'context' ? 'build context' : `context ${name}`;
        return addVertex(this.#context, op, [], { name: `[internal] load ${what}` });
      }
      case 'image': {
        const resolved = await this.image(source.reference, platform, false, location);
        return this.imageEdge(resolved, '[context] ', location);
      }
      case 'remote': {
        const edge = addVertex(this.#context, source.op, [], {
          name: `[internal] load remote build context ${redactUrl(source.op.identifier)}`,
        });
        if (source.archive === undefined) return edge;
        return this.#copied(edge, `/${source.archive}`, '/', '[internal] unpack remote build context', true);
      }
    }
  }

  #copied(edge: Edge, source: string, destination: string, name: string, unpack = false): Edge {
    const action = {
      kind: 'copy',
      input: 0,
      source,
      destination,
      destinationIsDirectory: unpack,
      allowWildcard: false,
      unpack,
    } as const;
    return addVertex(this.#context, { kind: 'file', base: -1, actions: [action] }, [edge], { name });
  }

  /** @param stage that starts from the image */
  imageEdge(resolved: ResolvedImage, prefix: string, location: SourceLocation, stage?: Stage): Edge {
    const op = { kind: 'source', identifier: resolved.identifier, platform: resolved.platform } as const;
    const name = `${prefix}FROM ${resolved.displayName}@${resolved.digest}`;
    return addVertex(this.#context, op, [], {
      name,
      location,
      imageDigest: resolved.rootDigest,
      ...(stage ? { stage: String(stage.index) } : {}),
      position: stage ? `${positionOf(stage)}#0` : `image ${resolved.displayName}`,
    });
  }

  /** Resolves an image once for each platform. */
  async image(
    name: string,
    platform: Platform,
    strict: boolean,
    location: SourceLocation,
  ): Promise<ResolvedImage> {
    const key = `${name} ${formatPlatform(platform)} ${strict}`;
    let resolved = this.#images.get(key);
    if (!resolved) {
      const { imageResolver, signal } = this.#options;
      resolved = imageResolver.resolveImage(name, platform, { strict, signal });
      this.#images.set(key, resolved);
    }
    try {
      return await resolved;
    } catch (error) {
      throw locateError(error, { location });
    }
  }

  #refuseLater(stage: Stage, from: string, location: SourceLocation): void {
    const { stages } = this.#options;
    const later = stages
      .slice(stage.index)
      .find((candidate) => candidate.from.stageName === from.toLowerCase());
    if (!later) return;
    const current = stageLabel(stages, stage) || stage.index;
    throw new BuildError(
      'STAGE_CYCLE',
      `stage "${from}" needs to be defined before current stage "${current}"`,
      {
        hint:
          later === stage ? 'a stage cannot copy from itself' : `move "FROM ... AS ${from}" above this stage`,
        location,
      },
    );
  }

  async #copyImage(stage: Stage, from: string, location: SourceLocation): Promise<Edge> {
    try {
      const resolved = await this.image(from, this.#options.platform, false, location);
      return this.imageEdge(resolved, '', location);
    } catch (error) {
      if (error instanceof BuildError && this.#options.toleratesUnknownImages) return this.#empty();
      if (!(error instanceof BuildError) || /[/:@]/.test(from)) throw error;
      const { message, hint } = stageNotFound(this.#options.stages.slice(0, stage.index), from, location);
      throw new BuildError(error.code, `from=${from} is neither a stage nor an image: ${error.message}`, {
        cause: error,
        hint: `${message}; ${hint}`,
        location,
      });
    }
  }

  /** A file system with nothing in it: of a stage that has only FROM scratch. */
  #empty(): Edge {
    return addVertex(this.#context, { kind: 'file', base: -1, actions: [] }, [], {
      name: '[internal] empty file system',
    });
  }
}
