import { dirname, join } from 'node:path';
import { ownRequire } from '../own-require.js';

/** A ustar header block as tar-stream models it. */
export interface RawHeader {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: Date;
  /** tar-stream's name of the type flag; null for one that it does not know. */
  type: string | null;
  typeflag?: number;
  linkname?: string | null;
  devmajor?: number;
  devminor?: number;
}

interface TarStreamHeaders {
  encode(header: RawHeader): Buffer | null;
  decode(block: Buffer, encoding: string, allowUnknown: boolean): RawHeader | null;
}

let headers: TarStreamHeaders | undefined;

/**
 * tar-stream's header codec, loaded with the first archive. Its package offers only streams, which lose metadata; the file
 * with the codec is taken by its path.
 */
export function tarHeaders(): TarStreamHeaders {
  headers ??= ownRequire()(
    join(dirname(ownRequire().resolve('tar-stream')), 'headers.js'),
  ) as TarStreamHeaders;
  return headers;
}
