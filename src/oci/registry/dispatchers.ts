import type * as Undici from 'undici';

/**
 * What requests need of undici. In the bundle of the command the build puts these files alone in place of this: Node takes 50 ms to
 * find and compile all of the package's.
 */
export function loadDispatchers(): Promise<Pick<typeof Undici, 'Agent' | 'EnvHttpProxyAgent'>> {
  return import('undici');
}
