import { BuildError } from '../errors.js';
import type { BuiltImage, Layer } from '../graph/contract.js';
import { type Descriptor, MEDIA_TYPES } from '../oci/descriptor.js';
import type { HistoryEntry, ImageConfig } from '../oci/image-config.js';
import type { ImageIndex, Manifest } from '../oci/manifest.js';
import { createdTime } from '../oci/tar/tar-entry.js';

/** Docker's names for the media types, for `oci-mediatypes=false`. */
const DOCKER_TYPES: Readonly<Record<string, string>> = {
  [MEDIA_TYPES.ociIndex]: MEDIA_TYPES.dockerIndex,
  [MEDIA_TYPES.ociManifest]: MEDIA_TYPES.dockerManifest,
  [MEDIA_TYPES.ociConfig]: MEDIA_TYPES.dockerConfig,
  [MEDIA_TYPES.ociLayer]: MEDIA_TYPES.dockerLayer,
  [MEDIA_TYPES.ociLayerGzip]: MEDIA_TYPES.dockerLayerGzip,
  [MEDIA_TYPES.ociLayerZstd]: MEDIA_TYPES.dockerLayerZstd,
};
const OCI_TYPES = Object.fromEntries(Object.entries(DOCKER_TYPES).map(([oci, docker]) => [docker, oci]));

/** `mediaType` in the family that is wanted. */
export function mediaTypeIn(mediaType: string, oci: boolean): string {
  return (oci ? OCI_TYPES[mediaType] : DOCKER_TYPES[mediaType]) ?? mediaType;
}

/** The image config with rootfs and times, as bytes: keys of the top level sorted (image-spec config.md). */
export function assembleConfig(image: BuiltImage, sourceDateEpochSec: number | undefined): string {
  const history = datedHistory(image, sourceDateEpochSec);
  const created = history.at(-1)?.created;
  const config: ImageConfig = {
    ...image.config,
    ...(created === undefined ? {} : { created }),
    rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => layer.diffId) },
    history,
  };
  const entries = Object.entries(config).filter(([, value]) => value !== undefined);
  return JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
}

/**
 * History with the times of the layers: an entry without a layer takes the time of the first new layer, or of the one before
 * it. With SOURCE_DATE_EPOCH, what this build adds is of that time. A missing entry is made up.
 */
function datedHistory(image: BuiltImage, epochSec: number | undefined): HistoryEntry[] {
  const written = image.config.history ?? [];
  const named = written.filter((entry) => !entry.empty_layer).length;
  if (named > image.layers.length) {
    throw new BuildError('INTERNAL', `the history has ${named} layers and the image ${image.layers.length}`);
  }
  const missing = Array.from({ length: image.layers.length - named }, (): HistoryEntry => ({
    comment: 'buildkit.exporter.image.v0',
  }));
  const layers = image.layers[Symbol.iterator]();
  const dated = [...written, ...missing].map((entry, i) => {
    const layer = entry.empty_layer ? undefined : (layers.next().value as Layer);
    if (i < image.baseHistoryLength && entry.created !== undefined) return entry;
    const created = layer && creationTime(layer, epochSec);
    return created === undefined ? entry : { created, ...entry };
  });
  return fillTimes(dated);
}

function fillTimes(history: readonly HistoryEntry[]): HistoryEntry[] {
  const firstMissing = history.findIndex((entry) => entry.created === undefined);
  if (firstMissing < 0) return [...history];
  const firstNew = history.slice(firstMissing).find((entry) => entry.created !== undefined)?.created;
  let current = firstNew ?? history.findLast((entry) => entry.created !== undefined)?.created;
  let seenMissing = false;
  return history.map((entry) => {
    if (entry.created !== undefined) {
      if (seenMissing) current = entry.created;
      return entry;
    }
    seenMissing = true;
    return current === undefined ? entry : { created: current, ...entry };
  });
}

/** With SOURCE_DATE_EPOCH everything that this build adds has that time. */
function creationTime({ createdAt }: Layer, epochSec: number | undefined): string | undefined {
  if (createdAt === undefined || epochSec === undefined) return createdAt;
  return createdTime(epochSec).replace('.000Z', 'Z');
}

/** The manifest as bytes, indented as BuildKit does. */
export function assembleManifest(
  config: Descriptor,
  layers: readonly Descriptor[],
  options: { oci: boolean; annotations: Readonly<Record<string, string>> },
): string {
  const inFamily = (descriptor: Descriptor): Descriptor => ({
    mediaType: mediaTypeIn(descriptor.mediaType, options.oci),
    digest: descriptor.digest,
    size: descriptor.size,
  });
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypeIn(MEDIA_TYPES.ociManifest, options.oci),
    config: inFamily(config),
    layers: layers.map(inFamily),
    ...(options.oci && Object.keys(options.annotations).length > 0
      ? { annotations: options.annotations }
      : {}),
  };
  return JSON.stringify(manifest, null, 2);
}

export function assembleIndex(manifests: readonly Descriptor[], oci: boolean): string {
  const index: ImageIndex = {
    schemaVersion: 2,
    mediaType: mediaTypeIn(MEDIA_TYPES.ociIndex, oci),
    manifests,
  };
  return JSON.stringify(index, null, 2);
}
