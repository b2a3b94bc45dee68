import {
  type ConvertOptions,
  convertDockerfile,
  type FrontendResult,
} from '../../../src/frontend/convert.js';
import type { ImageResolver } from '../../../src/frontend/image-resolver.js';
import type { ImageConfig } from '../../../src/oci/image-config.js';
import { digestOf } from '../../../src/oci/digest.js';

export const LINUX = { os: 'linux', architecture: 'amd64' };

/** Every name is an image with that config, `other-platform` one of another platform; what was asked for is recorded. */
export function imageResolver(config: Partial<ImageConfig> = {}, asked: string[] = []): ImageResolver {
  return {
    resolveImage: async (name, platform) => {
      asked.push(name);
      const rootfs = { type: 'layers' as const, diff_ids: [digestOf(name)] };
      return {
        identifier: `docker-image://docker.io/library/${name}@${digestOf(name)}`,
        displayName: name,
        digest: digestOf(name),
        rootDigest: digestOf(name),
        platform: name === 'other-platform' ? { os: 'linux', architecture: 's390x' } : platform,
        config: { ...LINUX, rootfs, history: [{ created_by: 'base' }], ...config },
      };
    },
  };
}

/** Compiles a Dockerfile whose images are all there. */
export function convertText(text: string, more: Partial<ConvertOptions> = {}): Promise<FrontendResult> {
  return convertDockerfile({
    dockerfile: { name: 'Dockerfile', text },
    buildArgs: {},
    platforms: [],
    buildPlatform: LINUX,
    labels: {},
    noCache: false,
    noCacheFilter: [],
    network: 'default',
    allow: [],
    ulimits: [],
    imageResolver: imageResolver(),
    sourceInspector: { modifiedSec: async () => undefined },
    mainContext: { kind: 'local', name: 'context', ignorePatterns: [] },
    namedContexts: new Map(),
    extraHosts: [],
    signal: new AbortController().signal,
    ...more,
  });
}
