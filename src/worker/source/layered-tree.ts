import type { Layer } from '../../graph/contract.js';
import { type Digest, digestOf } from '../../oci/digest.js';
import type { LayerEntry, LayerIndex } from '../snapshot/layer-index.js';
import type { LayerStore } from '../snapshot/layer-store.js';
import type { FileContent } from '../snapshot/layer-writer.js';
import { UnionView } from '../snapshot/union-view.js';
import type { SourceTree } from './source-tree.js';

const EMPTY = digestOf('');

/** The merged file system of a snapshot as a source, from listings; file bytes stay where the layers have them. */
export class LayeredTree implements SourceTree {
  readonly place: string;
  readonly #view: UnionView;
  readonly #layers: readonly Layer[];
  readonly #store: LayerStore;

  constructor(
    layers: readonly Layer[],
    indexes: readonly LayerIndex[],
    store: LayerStore,
    place = 'the image',
  ) {
    this.place = place;
    this.#view = new UnionView(indexes);
    this.#layers = layers;
    this.#store = store;
  }

  lookup(path: string): LayerEntry | undefined {
    return this.#view.lookup(path)?.entry;
  }

  list(path: string): readonly string[] {
    return this.#view.list(path);
  }

  resolve(path: string, followLast: boolean): string {
    return this.#view.resolve(path, followLast);
  }

  digest(_path: string, entry: LayerEntry): Digest {
    return entry.digest ?? EMPTY;
  }

  content(path: string): FileContent {
    const found = this.#view.lookupTarget(path)!;
    return this.#store.entryContent(this.#layers[found.layer]!, found.entry);
  }

  inode(path: string): string | undefined {
    const found = this.#view.lookupTarget(path);
    return found && `${found.layer} ${found.entry.path}`;
  }

  hiddenBy(): string | undefined {
    return undefined;
  }
}
