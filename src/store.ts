import { writeAccount } from './prune/account.js';
import { ContentStore } from './cache/content-store.js';
import { ImageStore } from './cache/image-store.js';
import { type Lease, takeLease } from './cache/leases.js';
import { openStateRoot, type StateRoot, stateRootPath } from './cache/state-root.js';
import { loadConfig } from './config.js';
import type { LockAcquirer } from './graph/contract.js';
import type { RegistryClient } from './oci/registry/client.js';
import type { StoreOptions } from './options.js';
import { LayerStore, type LayerStoreOptions } from './worker/snapshot/layer-store.js';
import { ImageSource } from './worker/source/image-source.js';
import { createLockAcquirer } from './worker/sys/flock.js';
import { abandonStore, recoverStore } from './worker/recovery.js';
import { realUid } from './worker/sys/namespaces.js';

/**
 * The open state root with everything that lives in it, wired together; every command starts with one, and holds a lease on it
 * until it disposes it.
 */
export interface Store extends Disposable {
  readonly state: StateRoot;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly lock: LockAcquirer;
  readonly lease: Lease;
  readonly imageSource: ImageSource;
  /** One client for the life of the store; the config file and HTTP are loaded with its first use. */
  registry(): Promise<RegistryClient>;
}

const openStates = new Set<StateRoot>();

/** Ends whatever this process does in its stores and removes what there is of it; the process must end now. */
export function abandonStores(): void {
  for (const state of openStates) abandonStore(state);
}

/** Opens (or makes) the store: reads its version file, writes a lease. @throws STORE_VERSION, STORE_FAILED */
export function openStore(
  options: StoreOptions & { readonly pull?: boolean } & Pick<
      LayerStoreOptions,
      'openScan' | 'readsBlobsOnce'
    >,
): Store {
  const state = openStateRoot(stateRootPath(options.root, process.env, realUid()));
  const lease = takeLease(state.leases);
  // So that what the first build takes need not be measured.
  if (state.isNew) writeAccount(state, 0);
  recoverStore(state);
  openStates.add(state);
  const lock = createLockAcquirer(state.locks);
  const content = new ContentStore(state.content);
  const images = new ImageStore({ content, lock });
  let client: Promise<RegistryClient> | undefined;
  const registry = () => (client ??= createRegistryClient(options.configFile));
  const imageSource = new ImageSource({
    content,
    images,
    lock,
    registry,
    ...(options.pull ? { pull: true } : {}),
  });
  const layers = new LayerStore({
    state,
    content,
    hasOrigin: (origin) => imageSource.hasOrigin(origin),
    lock,
    fetchBlob: (...request) => imageSource.fetchBlob(...request),
    ...(options.openScan ? { openScan: options.openScan } : {}),
    readsBlobsOnce: options.readsBlobsOnce,
  });
  const dispose = () => {
    lease[Symbol.dispose]();
    openStates.delete(state);
  };
  return { state, content, images, layers, lock, lease, imageSource, registry, [Symbol.dispose]: dispose };
}

async function createRegistryClient(configFile: string | undefined): Promise<RegistryClient> {
  const [{ registries }, { RegistryClient: Client }] = await Promise.all([
    loadConfig(configFile),
    import('./oci/registry/client.js'),
  ]);
  return new Client({ registries });
}
