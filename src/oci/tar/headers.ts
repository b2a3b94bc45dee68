import { loadHeaderCodec } from './header-codec.js';

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

/** tar-stream's header codec, loaded with the first archive. */
export function tarHeaders(): TarStreamHeaders {
  headers ??= loadHeaderCodec() as TarStreamHeaders;
  return headers;
}
