import { dirname, join } from 'node:path';
import { ownRequire } from '../own-require.js';

/**
 * The file with tar-stream's header codec, by its path: its package offers only streams, which lose metadata. In the bundle of
 * the command the build puts the file itself in place of this, since Node takes 4 ms to find it.
 */
export function loadHeaderCodec(): unknown {
  return ownRequire()(join(dirname(ownRequire().resolve('tar-stream')), 'headers.js'));
}
