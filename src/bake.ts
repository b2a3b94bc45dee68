import { build } from './build.js';
import { BuildError, StepFailures } from './errors.js';
import { requireOwnDestinations } from './exporter/destinations.js';
import type { OutputSpec } from './exporter/output-spec.js';
import type { Digest } from './oci/digest.js';
import type { BuildOptions, BuildResult, StoreOptions } from './options.js';
import type { ProgressEvent, ProgressListener } from './progress.js';
import { openStore } from './store.js';

/** A build that others may take as a context. */
export interface TargetBuild {
  readonly name: string;
  readonly options: BuildOptions;
  /** Contexts that are results of other targets: name of the context, name of the target. No target may need itself. */
  readonly links: Readonly<Record<string, string>>;
}

/**
 * Builds all targets at once in this process, over one store; a target starts when those that it links to are there, and equal
 * steps of two targets run once. After the first failure the others are aborted, and it rejects when all have ended.
 * Gives the results by name.
 */
export async function buildTargets(
  targets: readonly TargetBuild[],
  { signal, onProgress, ...options }: StoreOptions,
): Promise<ReadonlyMap<string, BuildResult>> {
  requireOwnDestinations(targets.map(({ name, options: { outputs = [] } }) => ({ owner: name, outputs })));
  // The lease keeps the results that others link to, which have no name, from being pruned.
  using store = openStore(options);
  const failure = new AbortController();
  const all = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal;
  const running = new Map<string, Promise<Linkable>>();
  const linked = new Set(targets.flatMap(({ links }) => Object.values(links)));
  const start = (name: string): Promise<Linkable> => {
    const known = running.get(name);
    if (known) return known;
    const target = targets.find((one) => one.name === name);
    if (!target) throw new BuildError('INTERNAL', `the target "${name}" is linked to and not there`);
    const promise = run(target);
    running.set(name, promise);
    return promise;
  };
  const run = async (target: TargetBuild): Promise<Linkable> => {
    const contexts: LinkedContext[] = await Promise.all(
      Object.entries(target.links).map(async ([context, name]) => {
        const { image } = await start(name);
        return { context, name, place: `oci-layout://${store.state.content}@${image!}` };
      }),
    );
    try {
      const own: BuildOptions = {
        ...target.options,
        ...options,
        signal: all,
        buildContexts: {
          ...target.options.buildContexts,
          ...Object.fromEntries(contexts.map(({ context, place }) => [context, place])),
        },
        ...(onProgress ? { onProgress: named(target.name, targets.length, contexts, onProgress) } : {}),
      };
      return linked.has(target.name) ? await buildLinkable(own) : { result: await build(own) };
    } catch (error) {
      const reason = all.aborted ? error : ofTarget(error, target.name, targets.length);
      if (!all.aborted) failure.abort(reason);
      throw reason;
    }
  };
  const ends = await Promise.allSettled(targets.map(({ name }) => start(name)));
  all.throwIfAborted();
  return new Map(
    ends.map((end, i) => {
      if (end.status === 'rejected') throw end.reason;
      return [targets[i]!.name, end.value.result];
    }),
  );
}

/** A context that is the result of the target `name`, and where that lies. */
interface LinkedContext {
  readonly context: string;
  readonly name: string;
  readonly place: string;
}

interface Linkable {
  readonly result: BuildResult;
  /** Its manifest or index, whole in the store; there where others link to it. */
  readonly image?: Digest;
}

/** What only others read is kept in the store without a name. */
async function buildLinkable(options: BuildOptions): Promise<Linkable> {
  const outputs = options.outputs?.length ? options.outputs : [{ type: 'image' } as const];
  if (outputs.every(({ type }) => type === 'cacheonly')) {
    const result = await build(withoutNames(options));
    return { result, image: result.descriptor!.digest };
  }
  const result = await build(options);
  if (isWholeInStore(outputs.at(-1)!)) return { result, image: result.descriptor!.digest };
  const { descriptor } = await build(withoutNames(options));
  return { result, image: descriptor!.digest };
}

function withoutNames(options: BuildOptions): BuildOptions {
  return { ...options, tags: [], outputs: [{ type: 'image' }], cacheTo: [] };
}

/** A push, and a load into an engine, leave layers where they are; a directory has no image. */
function isWholeInStore({ type, push, dest }: OutputSpec): boolean {
  return (type === 'image' && !push) || (type === 'docker' && dest !== undefined) || type === 'oci';
}

/** Two targets may have the same step: each is shown under its target. A linked target is shown by its name. */
function named(
  target: string,
  count: number,
  contexts: readonly LinkedContext[],
  listener: ProgressListener,
): ProgressListener {
  if (count === 1) return listener;
  const own = (digest: string) => `${target} ${digest}`;
  return (event: ProgressEvent) => {
    if (event.kind === 'announced') {
      const shown = contexts.reduce(
        (text, { name, place }) => text.replace(place, `target:${name}`),
        event.name,
      );
      const name = shown.startsWith('[') ? `[${target} ${shown.slice(1)}` : `[${target}] ${shown}`;
      listener({ ...event, name, digest: own(event.digest), inputs: event.inputs.map(own) });
    } else if ('digest' in event && event.digest !== undefined)
      listener({ ...event, digest: own(event.digest) });
    else if (event.kind === 'note') listener({ ...event, message: `${target}: ${event.message}` });
    else listener(event);
  };
}

function ofTarget(error: unknown, name: string, count: number): unknown {
  if (count === 1 || !(error instanceof BuildError) || error instanceof StepFailures) return error;
  return error.with({ message: `target "${name}": ${error.message}` });
}
