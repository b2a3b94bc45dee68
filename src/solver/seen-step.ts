import type { InputAccount, LastStep, StepAccount } from '../cache/step-history.js';
import type { Explanation } from '../explanation.js';
import type { CacheMap, FileListing, JobContext, Result } from '../graph/contract.js';
import type { Definition, Vertex } from '../graph/definition.js';
import type { Digest } from '../oci/digest.js';

/** What is known of a vertex before anything runs. */
export interface VertexFacts {
  readonly cacheMap: CacheMap;
  readonly definition: Digest;
  /** Definition keys of the inputs. */
  readonly inputs: readonly Digest[];
}

/** What a build learned of a vertex so far. */
export interface SeenStep {
  readonly vertex: Vertex;
  readonly facts: VertexFacts;
  /** Its inputs, and the digests of what it reads of them; unknown while it is found without them. */
  demanded?: { readonly inputs: readonly Result[]; readonly contents: readonly Digest[] };
  /** Of each input what is read, file by file; made when somebody asks, since of many files it takes much memory. */
  readonly listings: Map<number, Promise<FileListing | undefined>>;
  explanation?: Explanation;
  outcome?: LastStep['outcome'];
}

/** Instructions have a place in the Dockerfile; what the frontend adds for itself has none. */
export function isStep({ options }: Vertex): boolean {
  return options.position !== undefined;
}

/** The stage of a position. */
export function stageOf(position: string): string {
  return position.slice(0, position.lastIndexOf('#'));
}

export function hasRun({ explanation }: SeenStep): boolean {
  return explanation?.outcome === 'miss';
}

/** What the step is made of, for comparisons now and later. */
export function accountOf(seen: SeenStep, definition: Definition): StepAccount {
  const { vertex, facts, explanation, outcome } = seen;
  const { name, position = '', argNames } = vertex.options;
  const { components = {}, asides } = facts.cacheMap;
  const atMs = Date.now();
  return {
    position,
    name,
    definition: facts.definition,
    atMs,
    outcome: outcome === 'failed' ? 'failed' : 'made',
    components,
    ...(asides ? { asides } : {}),
    ...(argNames ? { argNames } : {}),
    inputs: vertex.inputs.map((edge, i) =>
      inputAccountOf(seen, i, definition.vertices.get(edge.vertex)?.options.name ?? ''),
    ),
    ...(explanation?.outcome === 'miss' ? { run: { atMs, miss: explanation } } : {}),
  };
}

function inputAccountOf({ facts, demanded }: SeenStep, index: number, name: string): InputAccount {
  const dep = facts.cacheMap.deps[index];
  const content = dep?.early ?? demanded?.contents[index];
  const result = demanded?.inputs[index];
  const isListed = dep?.files !== undefined && result?.kind === 'snapshot';
  return {
    name,
    definition: facts.inputs[index]!,
    ...(content === undefined ? {} : { content }),
    ...(isListed ? { layers: result.layers.map(({ diffId }) => diffId) } : {}),
  };
}

/** What a step reads of one input, file by file, where that is at hand. */
export function listingOf(
  { facts, demanded, listings }: SeenStep,
  index: number,
  job: JobContext,
): Promise<FileListing | undefined> {
  const dep = facts.cacheMap.deps[index];
  const input = demanded?.inputs[index];
  if (!dep?.files || !(dep.early || input)) return Promise.resolve(undefined);
  let listing = listings.get(index);
  if (!listing) listings.set(index, (listing = orNothing(dep.files(input, job))));
  return listing;
}

/** A listing that cannot be had costs the names of files, nothing else. */
export async function orNothing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch {
    return undefined;
  }
}
