import { expect } from 'chai';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContentStore } from '../../../src/cache/content-store.js';
import { ImageStore } from '../../../src/cache/image-store.js';
import { markUsed } from '../../../src/cache/leases.js';
import { openStateRoot } from '../../../src/cache/state-root.js';
import { digestHex } from '../../../src/oci/digest.js';
import { takeInventory } from '../../../src/prune/inventory.js';
import { removeAll } from '../../../src/prune/remove.js';
import { createLockAcquirer } from '../../../src/worker/sys/flock.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('what prune was about to remove', () => {
  /** A layer that was used long ago, with a directory, and no record that names it. */
  async function makeLayer() {
    const state = openStateRoot(tmpDir());
    const content = new ContentStore(state.content);
    const { digest } = await content.writeBytes(Buffer.from('tar'));
    const directory = join(state.snapshots, digestHex(digest));
    mkdirSync(join(directory, 'fs'), { recursive: true });
    const [index, blob] = [join(directory, 'listing'), content.path(digest)];
    writeFileSync(index, '');
    for (const path of [index, blob]) utimesSync(path, 1, 1);
    const lock = createLockAcquirer(state.locks);
    const images = new ImageStore({ content, lock });
    const { items } = takeInventory({ state, content, images, inUseSinceMs: Date.now() });
    const ofType = (type: string) => items.filter((item) => item.type === type);
    const remove = async (type: string) => {
      const removals = ofType(type).map((item) => ({ item: { ...item, bytes: 1 }, reason: '' }));
      expect(removals, type).to.have.length(1);
      return removeAll(removals, { state, lock, signal: new AbortController().signal });
    };
    return { directory, index, blob, remove };
  }

  it('goes where nobody used it meanwhile', async () => {
    const { directory, blob, remove } = await makeLayer();
    expect(await remove('directory')).to.have.length(1);
    expect(existsSync(join(directory, 'fs'))).to.equal(false);
    expect(await remove('layer')).to.have.length(1);
    expect([directory, blob].map((path) => existsSync(path))).to.deep.equal([false, false]);
  });

  for (const marked of ['index', 'blob'] as const)
    it(`stays where a build made the layer again and marked its ${marked}`, async () => {
      const layer = await makeLayer();
      markUsed(layer[marked]);
      for (const type of ['directory', 'layer']) expect(await layer.remove(type), type).to.deep.equal([]);
      for (const path of [join(layer.directory, 'fs'), layer.index, layer.blob])
        expect(existsSync(path), path).to.equal(true);
    });
});
