import { BuildError } from '../../errors.js';
import { isIndexType } from '../../oci/descriptor.js';
import type { Descriptor } from '../../oci/descriptor.js';
import type { Digest } from '../../oci/digest.js';
import type { ImageConfig } from '../../oci/image-config.js';
import type { ImageIndex, Manifest } from '../../oci/manifest.js';
import type { Layer } from '../../graph/contract.js';
import { type ForeignCache, readForeignCache } from './buildkit-config.js';
import type { ConfigRecord } from './cache-config.js';
import { type CacheContents, type CachedStep, checkContents, isDescriptor } from './cache-contents.js';
import type { ExportStep } from './cache-export.js';

/** Where BuildKit keeps the records of an inline cache in an image's config: base64 of their JSON. */
const RECORDS_KEY = 'moby.buildkit.cache.v0';
const OWN_KEY = 'tsbuild.cache.v1';

/** What the config of an image says of its own layers, in their order. */
interface InlineContents {
  readonly layers: readonly {
    readonly contentDigest: Digest;
    readonly createdAt?: string;
    distributed?: boolean;
  }[];
  readonly steps: readonly CachedStep[];
}

/** The steps whose layers are the image's first ones. */
export function inlineSteps(steps: readonly ExportStep[], layers: readonly Layer[]): ExportStep[] {
  const isStart = (step: ExportStep) =>
    step.layers.length <= layers.length &&
    step.layers.every((layer, i) => layer.diffId === layers[i]!.diffId);
  return steps.filter((step) => step.layers.length > 0 && isStart(step));
}

/** Members for the config of an image with these layers. @param own of `inlineSteps` @param records of BuildKit, for these */
export function inlineCache(
  own: readonly ExportStep[],
  layers: readonly Layer[],
  records: readonly ConfigRecord[],
): Record<string, unknown> {
  const written = own.map(({ keys, name, createdAt, layers: { length } }) => ({
    keys: keys.toSorted(),
    name,
    createdAt,
    layers: Array.from({ length }, (_, i) => i),
  }));
  const sorted = written.toSorted(
    (a, b) => a.layers.length - b.layers.length || (a.keys[0]! < b.keys[0]! ? -1 : 1),
  );
  const contents: InlineContents = {
    layers: layers.map(({ contentDigest, createdAt, blob, fromCache }) => ({
      contentDigest,
      ...(createdAt === undefined ? {} : { createdAt }),
      ...(blob && !fromCache ? { distributed: true } : {}),
    })),
    steps: sorted,
  };
  return {
    [RECORDS_KEY]: Buffer.from(JSON.stringify(records)).toString('base64'),
    [OWN_KEY]: contents,
  };
}

export interface InlineCaches {
  readonly contents: readonly CacheContents[];
  readonly foreign: readonly ForeignCache[];
}

/**
 * The caches inside of an image, one for each platform that has one. @param readBlob asked for manifests and configs
 * @throws CACHE_INVALID where the document is no image
 */
export async function readInlineCaches(
  document: Manifest | ImageIndex,
  readBlob: (blob: Descriptor) => Promise<Buffer>,
): Promise<InlineCaches> {
  if ('manifests' in document && isIndexType(document.mediaType ?? document.manifests[0]?.mediaType ?? '')) {
    const images = document.manifests.filter((each) => each.platform?.os !== 'unknown');
    const nested = await Promise.all(
      images.map(async (image) => JSON.parse((await readBlob(image)).toString('utf8')) as Manifest),
    );
    const read = await Promise.all(nested.map((each) => readInlineCaches(each, readBlob)));
    return {
      contents: read.flatMap(({ contents }) => contents),
      foreign: read.flatMap(({ foreign }) => foreign),
    };
  }
  const manifest = document as Manifest;
  if (!isDescriptor(manifest.config) || !Array.isArray(manifest.layers))
    throw new BuildError('CACHE_INVALID', 'it is no build cache', {
      hint: 'name what an earlier --cache-to wrote, or an image that was built with --cache-to type=inline',
    });
  const config = JSON.parse((await readBlob(manifest.config)).toString('utf8')) as ImageConfig &
    Record<string, unknown>;
  const own = config[OWN_KEY] as Partial<InlineContents> | undefined;
  if (!Array.isArray(own?.layers) || own.layers.length !== manifest.layers.length)
    return { contents: [], foreign: readInlineRecords(config, manifest) };
  const layers = own.layers.map((layer, i) => ({
    ...layer,
    diffId: config.rootfs?.diff_ids?.[i],
    blob: manifest.layers[i],
  }));
  const contents = checkContents({ layers, steps: own.steps });
  if (!contents) throw new BuildError('CACHE_INVALID', 'its inline cache is damaged');
  return { contents: [contents], foreign: [] };
}

/** BuildKit's records, whose layers are those of the image. */
function readInlineRecords(
  config: ImageConfig & Record<string, unknown>,
  { layers }: Manifest,
): ForeignCache[] {
  const written = config[RECORDS_KEY];
  const diffIds = config.rootfs?.diff_ids;
  if (typeof written !== 'string' || diffIds?.length !== layers.length) return [];
  const records = parseRecords(written);
  const chain = layers.map(({ digest, mediaType, size }, i) => ({
    blob: digest,
    parent: i - 1,
    annotations: { mediaType, size, diffID: diffIds[i]! },
  }));
  const foreign = records && readForeignCache({ layers: chain, records }, []);
  return foreign ? [foreign] : [];
}

function parseRecords(written: string): readonly ConfigRecord[] | undefined {
  try {
    return JSON.parse(Buffer.from(written, 'base64').toString('utf8')) as readonly ConfigRecord[];
  } catch {
    return undefined;
  }
}
