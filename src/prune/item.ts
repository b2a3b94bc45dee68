import type { Digest } from '../oci/digest.js';

/**
 * What takes space in the store, as prune sees it:
 *
 * - `layer`: a layer's blob and listing. With it go the records that need it, and its other forms
 * - `directory`: a layer unpacked for a RUN; made again from the blob
 * - `copy`: another form of a layer's blob, such as the compressed one of a push
 * - `image`: a manifest, config or blob that no name, record or source refers to any more
 * - `record`: what a cache key stands for
 * - `mount`: a cache mount; `source`: a repository or what is known of a URL, with its file
 * - `log`, `stat`: logs of steps and stat indexes of contexts; `damaged`: what doctor set aside
 * - `failed`: the files of a RUN that failed, for `tsbuild debug`
 * - `repeat`: how a command ended that only looked, for when it comes again
 * - `history`: what the steps of earlier builds were made of, for explanations
 */
export type ItemType =
  | 'layer'
  | 'directory'
  | 'copy'
  | 'image'
  | 'record'
  | 'mount'
  | 'source'
  | 'log'
  | 'stat'
  | 'repeat'
  | 'damaged'
  | 'failed'
  | 'history';

export interface StoreItem {
  /** Unique among the items: the first 12 digits of a digest or key, with the type where one digest has several items. */
  readonly id: string;
  readonly type: ItemType;
  /** For people: the step, image, cache mount or URL. */
  readonly description: string;
  /** Absolute paths of files and directories that belong to it and to nothing else. */
  readonly paths: readonly string[];
  readonly lastUsedMs: number;
  /** What making it again would take, without what is built on it. */
  readonly rebuildMs: number;
  /** Names of images that need it; they keep it from being pruned. */
  readonly images: readonly string[];
  /** Whether a running process may need it. */
  readonly inUse: boolean;
  /** Of a layer and its forms. */
  readonly diffId?: Digest;
  /** Of a record. */
  readonly key?: Digest;
  /** The layers that a record names, base first. */
  readonly layers?: readonly Digest[];
  /** Files that are marked as used when this is: the records that name a layer, or one inside of what goes. */
  readonly markers?: readonly string[];
  /** Name of the lock that whoever uses it holds. */
  readonly lock?: string;
}

/** An item with the bytes that it takes on disk: whole blocks, a file with several names once. */
export type MeasuredItem = StoreItem & { readonly bytes: number };
