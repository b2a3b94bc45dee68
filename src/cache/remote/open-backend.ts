import { resolve } from 'node:path';
import { BuildError } from '../../errors.js';
import type { LockAcquirer } from '../../graph/contract.js';
import { isDigest } from '../../oci/digest.js';
import { parseReference } from '../../oci/reference.js';
import type { RegistryClient } from '../../oci/registry/client.js';
import type { CacheBackend } from './cache-backend.js';
import {
  booleanAttribute,
  type CacheDirection,
  type CacheSpec,
  checkCacheSpec,
  requiredAttribute,
} from './cache-spec.js';
import { createActionsBackend } from './gha-backend.js';
import { createLocalBackend } from './local-backend.js';
import { createRegistryBackend } from './registry-backend.js';
import { createS3Backend } from './s3-backend.js';

export interface BackendDependencies {
  readonly registry: () => Promise<RegistryClient>;
  readonly lock: LockAcquirer;
}

/** The backend that a flag names. Asks nothing of it yet. @throws USAGE, REFERENCE_INVALID */
export function openCacheBackend(
  spec: CacheSpec,
  direction: CacheDirection,
  { registry, lock }: BackendDependencies,
): CacheBackend {
  checkCacheSpec(spec, direction);
  switch (spec.type) {
    case 'registry':
    case 'inline':
      return createRegistryBackend(parseReference(requiredAttribute(spec, direction, 'ref')), registry);
    case 'local': {
      const { digest, tag = 'latest' } = spec.attributes;
      if (digest !== undefined && !isDigest(digest))
        throw new BuildError('USAGE', `--cache-from type=local: "${digest}" is not a digest`);
      return createLocalBackend({
        directory: resolve(requiredAttribute(spec, direction, direction === 'from' ? 'src' : 'dest')),
        tag,
        digest,
        reset: booleanAttribute(spec, 'reset', false),
        lock,
      });
    }
    case 's3':
      return createS3Backend(spec, direction);
    case 'gha':
      return createActionsBackend(spec, direction);
  }
}
