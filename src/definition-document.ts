import type { SourceLocation } from './errors.js';
import type { FrontendResult } from './frontend/convert.js';
import { isSecretVariable } from './frontend/lint/instruction-rules.js';
import type { Edge, Vertex, VertexOptions } from './graph/definition.js';
import type { Op } from './graph/op.js';
import type { Digest } from './oci/digest.js';
import type { Platform } from './oci/platform.js';

/** Grows when a field changes its meaning or goes; new fields may come without. docs/definition.md is its page. */
const VERSION = 1;

/** What the vertices of a build are, for machines. The same input gives the same document. */
export interface DefinitionDocument {
  readonly version: number;
  /** Each once, after its inputs. */
  readonly vertices: readonly VertexDescription[];
  readonly targets: readonly TargetHead[];
  /** The Dockerfile that the locations mean. */
  readonly sources: readonly {
    readonly filename: string;
    readonly language: string;
    readonly data: string;
  }[];
}

export interface VertexDescription {
  readonly digest: Digest;
  readonly name: string;
  readonly op: Op;
  readonly inputs: readonly Edge[];
  readonly platform?: Platform;
  readonly stage?: string;
  readonly ignoreCache: boolean;
  readonly locations: readonly SourceLocation[];
}

/** One platform of the result, and the vertex whose files it has; without one it has no files. */
export interface TargetHead {
  readonly platform: Platform;
  readonly head?: Edge;
}

/** @param mask takes secrets and the passwords of URLs out of a text */
export function definitionDocument(
  { definition, targets }: FrontendResult,
  mask: (text: string) => string,
): DefinitionDocument {
  const heads = targets.flatMap(({ head }) => (head ? [head.vertex] : []));
  return {
    version: VERSION,
    vertices: inOrder(definition.vertices, heads).map((vertex) => describe(vertex, mask)),
    targets: targets.map(({ platform, head }) => ({ platform, ...(head ? { head } : {}) })),
    sources: definition.sources.map(({ name, text }) => ({
      filename: name,
      language: 'Dockerfile',
      data: Buffer.from(mask(text)).toString('base64'),
    })),
  };
}

/**
 * The vertices below the heads. Stages are converted at the same time, so that the definition's own order is an accident; a
 * stack of our own, since a chain of stages can be longer than the process's.
 */
function inOrder(vertices: ReadonlyMap<Digest, Vertex>, heads: readonly Digest[]): Vertex[] {
  const seen = new Set<Digest>();
  const ordered: Vertex[] = [];
  const stack = [...heads].reverse().map((digest) => ({ digest, isLeaving: false }));
  for (let next = stack.pop(); next; next = stack.pop()) {
    const vertex = vertices.get(next.digest)!;
    if (next.isLeaving) {
      ordered.push(vertex);
      continue;
    }
    if (seen.has(next.digest)) continue;
    seen.add(next.digest);
    stack.push({ digest: next.digest, isLeaving: true });
    for (const input of [...vertex.inputs].reverse()) stack.push({ digest: input.vertex, isLeaving: false });
  }
  return ordered;
}

function describe(
  { digest, op, inputs, options }: Vertex,
  mask: (text: string) => string,
): VertexDescription {
  return {
    digest,
    name: mask(options.name),
    op: masked(op.kind === 'exec' ? { ...op, env: op.env.map(maskVariable) } : op, mask),
    inputs,
    ...(op.platform ? { platform: op.platform } : {}),
    ...described(options),
  };
}

/** Proxy variables are left out: they hold passwords and are part of no key. */
function described({ stage, ignoreCache = false, location }: VertexOptions) {
  return { ...(stage === undefined ? {} : { stage }), ignoreCache, locations: location ? [location] : [] };
}

function maskVariable(pair: string): string {
  const name = pair.slice(0, pair.indexOf('='));
  const value = pair.slice(name.length + 1);
  return value !== '' && isSecretVariable(name, value) ? `${name}=*****` : pair;
}

/** The same data with a mask over each of its texts. */
function masked<T>(value: T, mask: (text: string) => string): T {
  if (typeof value === 'string') return mask(value) as T;
  if (Array.isArray(value)) return value.map((item) => masked(item as unknown, mask)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, masked(item as unknown, mask)]),
  ) as T;
}
