import { join } from 'node:path';
import type { CacheBackend } from '../../src/cache/remote/cache-backend.js';
import type { CacheSpec } from '../../src/cache/remote/cache-spec.js';
import { openCacheBackend } from '../../src/cache/remote/open-backend.js';
import { RegistryClient } from '../../src/oci/registry/client.js';
import { createLockAcquirer } from '../../src/worker/sys/flock.js';
import { type ActionsCache, startActionsCache } from '../kit/actions-cache.js';
import { needs } from '../kit/needs.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { s3Attributes, type S3Server, startS3Server } from '../kit/s3-server.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { describeCacheBackend } from '../suites/cache-backend.js';

const locks = tmpDir();

function openSpec(spec: CacheSpec): CacheBackend {
  return openCacheBackend(spec, spec.type === 'local' ? 'from' : 'to', {
    registry: () => Promise.resolve(new RegistryClient({ registries: {} })),
    lock: createLockAcquirer(locks),
  });
}

describe('cache backends', () => {
  const directory = join(tmpDir(), 'cache');
  let registry: Registry | undefined;
  let s3: S3Server | undefined;
  let actions: readonly ActionsCache[] = [];

  before(async function () {
    needs(this, { program: 'docker-registry' });
    registry = await startRegistry();
    s3 = await startS3Server();
    actions = [await startActionsCache(), await startActionsCache()];
  });

  after(async () => {
    await registry?.stop();
    await s3?.stop();
    for (const each of actions) await each.stop();
  });

  describeCacheBackend('local', () => openSpec({ type: 'local', attributes: { src: directory } }));
  describeCacheBackend('registry', () =>
    openSpec({ type: 'registry', attributes: { ref: `${registry!.host}/cache:main` } }),
  );
  describeCacheBackend('s3', () =>
    openSpec({ type: 's3', attributes: { ...s3Attributes(s3!.host), prefix: 'some dir/ü+/', name: 'main' } }),
  );
  describeCacheBackend('gha, second version', () =>
    openSpec({ type: 'gha', attributes: { url_v2: actions[0]!.url, token: actions[0]!.token } }),
  );
  describeCacheBackend('gha, first version', () =>
    openSpec({ type: 'gha', attributes: { url: actions[1]!.url, token: actions[1]!.token } }),
  );
});
