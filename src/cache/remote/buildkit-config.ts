import type { Descriptor } from '../../oci/descriptor.js';
import { type Digest, isDigest } from '../../oci/digest.js';
import type { CacheConfig, ConfigLayer, ConfigRecord } from './cache-config.js';
import { isDescriptor } from './cache-contents.js';

/** What a cache of BuildKit says, checked and with its layers as chains. */
export interface ForeignCache {
  readonly records: readonly ForeignRecord[];
}

export interface ForeignRecord {
  readonly digest: Digest;
  readonly inputs: readonly (readonly { readonly link: number; readonly selector: string | undefined }[])[];
  readonly results: readonly ForeignResult[];
}

export interface ForeignResult {
  readonly createdAt: string;
  /** Base first. */
  readonly layers: readonly ForeignLayer[];
}

export interface ForeignLayer {
  readonly diffId: Digest;
  /** A layer that another builder made is known by its diffID, as one of an image. */
  readonly contentDigest: Digest;
  readonly createdAt?: string;
  readonly blob: Descriptor;
}

const DIFF_ID = 'containerd.io/uncompressed';
const CREATED = 'buildkit/createdat';
/** More than a build has; a chain that goes on is a circle. */
const MOST_LAYERS = 4096;

/** The records of a config; undefined where it has none, or is not as BuildKit writes it. @param blobs of the manifest */
export function readForeignCache(
  { layers = [], records = [] }: CacheConfig,
  blobs: readonly Descriptor[],
): ForeignCache | undefined {
  if (!Array.isArray(layers) || !Array.isArray(records) || records.length === 0) return undefined;
  const known = layerReader(layers, new Map(blobs.map((blob) => [blob.digest, blob])));
  const read = records.map((record: Partial<ConfigRecord> | null) => {
    const { digest, inputs = [], layers: results = [] } = record ?? {};
    if (!isDigest(String(digest)) || !Array.isArray(inputs) || !Array.isArray(results)) return undefined;
    if (!inputs.every((links) => Array.isArray(links) && links.every((link) => isLink(link, records.length))))
      return undefined;
    return {
      digest: digest as Digest,
      inputs: inputs.map((links) =>
        links.map(({ link, selector }: { link?: number; selector?: string }) => ({
          link: link ?? 0,
          selector: selector === '' ? undefined : selector,
        })),
      ),
      results: results.flatMap(({ layer = 0, createdAt = '' }) => {
        const chain = known(layer);
        return chain ? [{ createdAt: String(createdAt), layers: chain }] : [];
      }),
    };
  });
  const sound = read.flatMap((record) => record ?? []);
  return sound.length === read.length && !hasCircle(sound) ? { records: sound } : undefined;
}

function isLink(link: { link?: unknown; selector?: unknown } | null, count: number): boolean {
  const at = link?.link ?? 0;
  return Number.isInteger(at) && Number(at) >= 0 && Number(at) < count && isTextOrNothing(link?.selector);
}

function isTextOrNothing(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}

/** Gives the chain that ends with a layer; undefined where the cache lacks a blob of it. */
function layerReader(layers: readonly ConfigLayer[], blobs: ReadonlyMap<string, Descriptor>) {
  return (last: number): ForeignLayer[] | undefined => {
    const chain: ForeignLayer[] = [];
    // Go leaves a zero out, and -1 is no parent.
    for (let at = last; at !== -1; at = layers[at]!.parent ?? 0) {
      const written: ConfigLayer | undefined = layers[at];
      const layer = written && readLayer(written, blobs);
      if (!layer || chain.length === MOST_LAYERS) return undefined;
      chain.push(layer);
    }
    return chain.reverse();
  };
}

function readLayer(
  { blob: digest, annotations: own }: ConfigLayer,
  blobs: ReadonlyMap<string, Descriptor>,
): ForeignLayer | undefined {
  const listed = blobs.get(digest);
  const blob = own
    ? { mediaType: own.mediaType, digest, size: own.size }
    : listed && { mediaType: listed.mediaType, digest, size: listed.size };
  const diffId = own?.diffID ?? listed?.annotations?.[DIFF_ID];
  const createdAt = own?.createdAt ?? listed?.annotations?.[CREATED];
  if (!isDescriptor(blob) || !isDigest(String(diffId))) return undefined;
  return {
    diffId: diffId as Digest,
    contentDigest: diffId as Digest,
    blob,
    ...(typeof createdAt === 'string' ? { createdAt } : {}),
  };
}

/** Whether some record is below itself. */
function hasCircle(records: readonly ForeignRecord[]): boolean {
  const counts = records.map(({ inputs }) => inputs.flat().length);
  const users = records.map((): number[] => []);
  records.forEach(({ inputs }, i) => inputs.flat().forEach(({ link }) => users[link]!.push(i)));
  const free = counts.flatMap((count, i) => (count === 0 ? [i] : []));
  let done = 0;
  for (let next = free.pop(); next !== undefined; next = free.pop()) {
    done += 1;
    for (const user of users[next]!) if (--counts[user]! === 0) free.push(user);
  }
  return done < records.length;
}
