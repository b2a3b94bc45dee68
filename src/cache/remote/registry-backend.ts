import { BuildError } from '../../errors.js';
import { isManifestType } from '../../oci/descriptor.js';
import { familiarReference, type Reference } from '../../oci/reference.js';
import type { RegistryClient } from '../../oci/registry/client.js';
import { mountFrom } from '../../oci/registry/push.js';
import type { CacheBackend } from './cache-backend.js';

/** A tag of a registry. Blobs of other repositories of the same registry are mounted and not sent. */
export function createRegistryBackend(
  reference: Reference,
  client: () => Promise<RegistryClient>,
): CacheBackend {
  const { domain, repository } = reference;
  const place = { domain, repository };
  return {
    place: `registry ${familiarReference(reference)}`,
    origin: `docker-image://${domain}/${repository}`,
    form: 'manifest',
    resolve: async (signal) => {
      try {
        return (await (await client()).getManifest(reference, signal)).bytes;
      } catch (error) {
        if (error instanceof BuildError && error.code === 'REGISTRY_NOT_FOUND') return undefined;
        throw error;
      }
    },
    publish: async ({ bytes, mediaType }, signal) =>
      (await client()).pushManifest(reference, reference.tag ?? 'latest', mediaType, bytes, signal),
    has: async (blob, signal) => (await client()).hasBlob(place, blob.digest, signal),
    get: async function* (blob, signal) {
      const registry = await client();
      if (isManifestType(blob.mediaType))
        yield (await registry.getManifest({ ...place, digest: blob.digest }, signal)).bytes;
      else yield* registry.fetchBlob(place, blob, signal);
    },
    put: async (blob, open, { signal, origin }) => {
      const registry = await client();
      if (!(await mountFrom(origin, registry, place, blob, signal)))
        await registry.pushBlob(place, blob, open, signal);
    },
  };
}
