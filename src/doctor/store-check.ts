import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { namesIn, textIfThere } from '../cache/if-there.js';
import { type ContentStore } from '../cache/content-store.js';
import { checkedBody } from '../cache/checked-file.js';
import { imageBlobs } from '../cache/image-blobs.js';
import type { ImageStore } from '../cache/image-store.js';
import type { StateRoot } from '../cache/state-root.js';
import { throwIfAborted } from '../errors.js';
import { type Descriptor, isIndexType, layerCompression } from '../oci/descriptor.js';
import { parseIndex, parseManifest } from '../oci/image-documents.js';
import { parseReference } from '../oci/reference.js';
import { isWholeMemo } from '../worker/source/selection-memo.js';
import { wholeLayerIndex } from '../worker/snapshot/layer-index-file.js';
import { type Damage, setAside } from './damage.js';
import { layerDifferences } from './layer-check.js';

export interface StoreCheckOptions {
  readonly state: StateRoot;
  readonly content: ContentStore;
  readonly images: ImageStore;
  /** Whether bytes are read and compared with their digests; else sizes and attributes only. */
  readonly contents: boolean;
  readonly signal: AbortSignal;
}

export interface StoreCheck {
  /** How many of each were looked at. */
  readonly counts: Readonly<Record<'blobs' | 'images' | 'records' | 'layers' | 'sources', number>>;
  /** What was found and set aside. */
  readonly damages: readonly Damage[];
}

/**
 * Compares everything in the store with its checksum, digest or listing, and sets aside what differs, so that the next build
 * makes it again. Files that a running process is still writing have other names and are not looked at. Prune must not run.
 */
export async function checkStore(options: StoreCheckOptions): Promise<StoreCheck> {
  const check = new Check(options);
  const blobs = await check.blobs();
  const images = await check.images();
  const records = await check.checkedFiles('record', options.state.records, 2);
  const layers = await check.layers();
  await check.checkedFiles('stat index', options.state.stat, 1, isWholeStatFile);
  const sources = check.urls();
  return { counts: { blobs, images, records, layers, sources }, damages: check.damages };
}

const PROBLEMS_SHOWN = 3;

class Check {
  readonly damages: Damage[] = [];
  readonly #options: StoreCheckOptions;

  constructor(options: StoreCheckOptions) {
    this.#options = options;
  }

  async blobs(): Promise<number> {
    const { content, contents, signal } = this.#options;
    let count = 0;
    for (const algorithm of namesIn(join(content.root, 'blobs'))) {
      const directory = join(content.root, 'blobs', algorithm);
      for (const name of namesIn(directory)) {
        throwIfAborted(signal);
        const path = join(directory, name);
        // A reader found it first.
        if (name.endsWith('.damaged')) this.#damaged('blob', path, 'does not have the digest of its name');
        if (!/^[0-9a-f]+$/.test(name)) continue;
        count += 1;
        if (contents && (await digestOfFile(path, algorithm)) !== name)
          this.#damaged('blob', path, 'does not have the digest of its name');
      }
    }
    return count;
  }

  /** A name whose manifest is lost or another goes too: with it away, the image is built or fetched anew. */
  async images(): Promise<number> {
    const { content, images } = this.#options;
    let stored;
    try {
      stored = images.list();
    } catch (error) {
      this.#damaged('image', join(content.root, 'index.json'), (error as Error).message);
      return 0;
    }
    for (const { name, descriptor } of stored) {
      const blobs = imageBlobs(content, descriptor);
      const isNeeded = ({ role, descriptor: blob }: (typeof blobs)[number]) =>
        role === 'root' ||
        role === 'config' ||
        // Compressed layers are those of registries, fetched when they are needed; other platforms' manifests too.
        (role === 'layer' && layerCompression(blob.mediaType) === 'uncompressed');
      const lost = blobs.find((blob) => isNeeded(blob) && !content.has(blob.descriptor.digest));
      const what = lost?.role === 'root' ? 'manifest' : lost?.role;
      const problem = lost
        ? `its ${what} ${lost.descriptor.digest} is lost`
        : manifestProblem(content, name, descriptor);
      if (problem === undefined) continue;
      await images.remove(parseReference(name));
      this.damages.push({ kind: 'image', name, problem });
    }
    return stored.length;
  }

  /** @param depth levels of directories down to the files */
  async checkedFiles(
    kind: 'record' | 'stat index',
    directory: string,
    depth: number,
    isWhole: (path: string) => boolean = isWholeText,
  ): Promise<number> {
    let count = 0;
    for (const name of namesIn(directory)) {
      const path = join(directory, name);
      if (depth > 1) {
        count += await this.checkedFiles(kind, path, depth - 1, isWhole);
        continue;
      }
      if (!/^[0-9a-f]+$/.test(name)) continue;
      count += 1;
      if (count % 1000 === 0) await this.#turn();
      if (!isWhole(path)) this.#damaged(kind, path, 'does not have its checksum');
    }
    return count;
  }

  async layers(): Promise<number> {
    const { state } = this.#options;
    let count = 0;
    for (const name of namesIn(state.snapshots)) {
      if (!/^[0-9a-f]{64}$/.test(name)) continue;
      await this.#turn();
      count += 1;
      this.#layer(join(state.snapshots, name));
    }
    return count;
  }

  #layer(path: string): void {
    const index = wholeLayerIndex(join(path, 'listing'));
    const hasDirectory = statSync(join(path, 'fs'), { throwIfNoEntry: false }) !== undefined;
    if (index === undefined) {
      // Removed while we looked, or a directory whose listing was lost.
      if (hasDirectory) this.#damaged('layer', path, 'its directory has no listing');
      return;
    }
    if (index === 'damaged') {
      this.#damaged('layer', path, 'its listing does not have its checksum');
      return;
    }
    if (!hasDirectory) return;
    const { contents } = this.#options;
    const problems: string[] = [];
    for (const problem of layerDifferences(join(path, 'fs'), index, { contents })) {
      if (problems.push(problem) > PROBLEMS_SHOWN) break;
    }
    if (problems.length === 0) return;
    const shown = problems.slice(0, PROBLEMS_SHOWN).join(', ');
    this.#damaged('layer', path, problems.length > PROBLEMS_SHOWN ? `${shown}, and more` : shown);
  }

  /** What is known of URLs. Repositories check themselves when git fetches into them. */
  urls(): number {
    const directory = join(this.#options.state.sources, 'http');
    const names = namesIn(directory).filter((name) => /^[0-9a-f]{64}$/.test(name));
    for (const name of names) {
      const path = join(directory, name);
      const text = textIfThere(path);
      if (text !== undefined && checkedBody(text) === undefined)
        this.#damaged('source', path, 'does not have the digest in its first line');
    }
    return names.length;
  }

  #damaged(kind: Damage['kind'], path: string, problem: string): void {
    const { state } = this.#options;
    const target = setAside(state, kind, path);
    if (target === undefined) return;
    this.damages.push({ kind, name: relative(state.path, path), problem, setAside: target });
  }

  async #turn(): Promise<void> {
    await yieldToEvents();
    throwIfAborted(this.#options.signal);
  }
}

/** Undefined where it was removed in the meantime. */
async function digestOfFile(path: string, algorithm: string): Promise<string | undefined> {
  const hash = createHash(algorithm);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }))
      hash.update(chunk as Buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return hash.digest('hex');
}

/** What keeps a manifest that is there from being read as what the list of images says that it is. */
function manifestProblem(
  content: ContentStore,
  name: string,
  { digest, mediaType, size }: Descriptor,
): string | undefined {
  try {
    const bytes = readFileSync(content.path(digest));
    if (bytes.length !== size)
      return `the list of images says that its manifest has ${size} bytes, and it has ${bytes.length}`;
    if (isIndexType(mediaType)) parseIndex(bytes, name, mediaType);
    else parseManifest(bytes, name, mediaType);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** One that was removed meanwhile is none that is damaged. */
function isWholeText(path: string): boolean {
  const text = textIfThere(path);
  return text === undefined || checkedBody(text) !== undefined;
}

/** What is known of files, or what was looked at for a selection. */
function isWholeStatFile(path: string): boolean {
  return isWholeMemo(path) || isWholeText(path);
}
