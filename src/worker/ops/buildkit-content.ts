import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { openFileHash } from '../../cache/remote/buildkit-content.js';
import { isFiltered } from '../../cache/remote/content-selectors.js';
import { compareBytes } from '../../cache/remote/go-json.js';
import type { ContentSelector, Layer } from '../../graph/contract.js';
import { canMatchSlash, matchPath } from '../../graph/path-match.js';
import { PatternMatcher } from '../../graph/pattern-matcher.js';
import { type Digest, digestFromHash, digestOf } from '../../oci/digest.js';
import type { EntryType, LayerEntry } from '../snapshot/layer-index.js';
import { baseName, joinPath, parentPath } from '../snapshot/path-order.js';
import type { LayerStore } from '../snapshot/layer-store.js';
import { LayeredTree } from '../source/layered-tree.js';
import type { LocalContext } from '../source/local-context.js';
import type { SourceTree } from '../source/source-tree.js';
import { literalStart } from './copy-select.js';

const BYTES_PER_TURN = 16 << 20;
/** As tar has them. Of devices BuildKit leaves the numbers out, so they have none here. */
const TYPE_LETTERS: Partial<Record<EntryType, string>> = {
  file: '0',
  hardlink: '0',
  symlink: '2',
  directory: '5',
  fifo: '6',
};

const buffer = Buffer.allocUnsafe(1 << 20);

/** What BuildKit cannot tell by content either, or not in a way that is safe: no digest then, which is a miss. */
class NoDigest extends Error {}

export function contentOfContext(
  context: LocalContext,
  selectors: readonly ContentSelector[],
): Promise<Digest | undefined> {
  return contentDigest(context, selectors, true);
}

export async function contentOfLayers(
  layers: readonly Layer[],
  store: LayerStore,
  selectors: readonly ContentSelector[],
  signal: AbortSignal,
): Promise<Digest | undefined> {
  if (!store.isListed(layers)) return undefined;
  return contentDigest(new LayeredTree(layers, await store.indexes(layers, signal), store), selectors, false);
}

/**
 * The content of what the selectors name as BuildKit digests it; undefined where something of it is not there, or has extended
 * attributes, whose values BuildKit leaves out.
 */
async function contentDigest(
  tree: SourceTree,
  selectors: readonly ContentSelector[],
  isLocal: boolean,
): Promise<Digest | undefined> {
  const content = new ContentDigests(tree, isLocal);
  try {
    const digests: Digest[] = [];
    for (const selector of selectors) digests.push(await content.digest(selector));
    return digestOf(digests.join('\0'));
  } catch (error) {
    if (error instanceof NoDigest) return undefined;
    throw error;
  }
}

class ContentDigests {
  readonly #tree: SourceTree;
  readonly #isLocal: boolean;
  #bytesThisTurn = 0;

  constructor(tree: SourceTree, isLocal: boolean) {
    this.#tree = tree;
    this.#isLocal = isLocal;
  }

  async digest(selector: ContentSelector): Promise<Digest> {
    const path = selector.path.slice(1);
    if (!isFiltered(selector)) return this.#ofPath(this.#tree.resolve(path, selector.followLinks ?? false));
    const found = await this.#filtered(path, selector);
    if (found.length === 0) return digestOf('');
    const [only] = found;
    if (found.length === 1 && baseName(path) === baseName(only!.path)) return only!.digest;
    return digestOf(found.map(({ path: at, digest }) => `${baseName(at) || '/'}${digest}`).join('\0'));
  }

  async #ofPath(path: string): Promise<Digest> {
    const entry = this.#entry(path);
    return entry.type === 'directory' ? this.#ofDirectory(path, entry) : this.#ofEntry(path, entry);
  }

  async #ofDirectory(path: string, entry: LayerEntry): Promise<Digest> {
    const hash = createHash('sha256')
      .update('\0')
      .update(await this.#ofEntry(path, entry));
    for (const name of this.#names(path))
      hash.update(`\0${name}`).update(await this.#ofPath(joinPath(path, name)));
    return digestFromHash(hash);
  }

  /** A directory's own fields, without what is in it. The root of a context has none. */
  async #ofEntry(path: string, entry: LayerEntry): Promise<Digest> {
    if (path === '' && this.#isLocal) return digestOf('');
    const type = TYPE_LETTERS[entry.type];
    if (type === undefined || Object.keys(entry.xattrs ?? {}).length > 0) throw new NoDigest();
    const hash = openFileHash({ ...entry, type });
    if (entry.type === 'file' && entry.size > 0) await this.#read(path, entry, hash);
    return digestFromHash(hash);
  }

  /** Reads the bytes, and makes sure that they are those of which our own keys and layers are made. */
  async #read(path: string, entry: LayerEntry, hash: ReturnType<typeof createHash>): Promise<void> {
    const { path: file, offset = 0, length } = this.#tree.content(path, entry);
    const own = createHash('sha256');
    const fd = openOrNothing(file);
    if (fd === undefined) throw new NoDigest();
    try {
      for (let done = 0; done < length;) {
        const read = readSync(fd, buffer, 0, Math.min(buffer.length, length - done), offset + done);
        if (read === 0) throw new NoDigest();
        const bytes = buffer.subarray(0, read);
        hash.update(bytes);
        own.update(bytes);
        done += read;
        this.#bytesThisTurn += read;
        if (this.#bytesThisTurn < BYTES_PER_TURN) continue;
        this.#bytesThisTurn = 0;
        await yieldToEvents();
      }
    } finally {
      closeSync(fd);
    }
    if (digestFromHash(own) !== (await this.#tree.digest(path, entry))) throw new NoDigest();
  }

  #entry(path: string): LayerEntry {
    const entry = this.#tree.lookup(path);
    if (!entry) throw new NoDigest();
    return entry;
  }

  #names(path: string): string[] {
    return this.#tree.list(path).toSorted(compareBytes);
  }

  /** Files and directories' own fields that a pattern selects, each with its digest, in the order of their paths. */
  async #filtered(path: string, selector: ContentSelector): Promise<{ path: string; digest: Digest }[]> {
    const start = selector.wildcard ? literalStart(path) : path;
    const resolved = this.#tree.resolve(start, start !== path);
    const entry = this.#tree.lookup(resolved);
    if (!entry) return [];
    const selected: Selected[] = [];
    const walk: WalkState = {
      pattern: path,
      excludes: selector.exclude?.length ? new PatternMatcher(selector.exclude) : undefined,
      selected,
      above: [],
    };
    this.#walk(walk, { shown: start, path: resolved, entry }, selector.wildcard ? undefined : start);
    const digests: { path: string; digest: Digest }[] = [];
    for (const { shown, path: at, entry: found, isMatch: isDirect } of selected) {
      // A link that is below what matched stays one.
      const isFollowed = isDirect && selector.followLinks === true && found.type === 'symlink';
      const digest = isFollowed
        ? await this.#ofPath(this.#tree.resolve(shown, true))
        : await this.#ofEntry(at, found);
      digests.push({ path: shown, digest });
    }
    return digests;
  }

  /** @param root the selected path that this one is below or is; undefined before one is found */
  #walk(state: WalkState, at: Selected, root: string | undefined): void {
    const { pattern, excludes, selected, above } = state;
    const { shown, path, entry } = at;
    const own = root ?? (isMatch(pattern, shown) ? shown : undefined);
    const isDirectory = entry.type === 'directory';
    // A directory whose path ends in a slash is left out, and that of the root does.
    if (own !== undefined && shown !== '') {
      const relative = shown === own ? '' : shown.slice(own === '' ? 0 : own.length + 1);
      if (!excludes?.matches(relative))
        selected.push(...above.splice(0), {
          ...at,
          isMatch: shown === own || (parentPath(shown) === own && own === ''),
        });
      else if (!isDirectory || excludes.canSkipDirectory(relative)) return;
      else above.push(at);
    }
    if (!isDirectory || (own === undefined && !mayMatchBelow(pattern, shown))) return;
    for (const name of this.#names(path)) {
      const child = joinPath(path, name);
      this.#walk(state, { shown: joinPath(shown, name), path: child, entry: this.#entry(child) }, own);
    }
    if (above.at(-1) === at) above.pop();
  }
}

/** A file that went since it was listed is no failure of the build, which does not read it. */
function openOrNothing(file: string): number | undefined {
  try {
    return openSync(file, 'r');
  } catch {
    return undefined;
  }
}

interface Selected {
  /** As the pattern has it, links in its start not followed. */
  readonly shown: string;
  readonly path: string;
  readonly entry: LayerEntry;
  /** It is what was named, or in a root that was, and not below that. */
  readonly isMatch?: boolean;
}

interface WalkState {
  readonly pattern: string;
  readonly excludes: PatternMatcher | undefined;
  readonly selected: Selected[];
  /** Directories on the way that were not taken themselves; they are with the first thing below them that is. */
  readonly above: Selected[];
}

function isMatch(pattern: string, path: string): boolean {
  return path !== '' && matchPath(`/${pattern}`, `/${path}`);
}

function mayMatchBelow(pattern: string, path: string): boolean {
  return canMatchSlash(pattern) || depth(path) < depth(pattern);
}

function depth(path: string): number {
  return path === '' ? 0 : path.split('/').length;
}
