import { createHash, hash, type Hash } from 'node:crypto';

/** `sha256:` and 64 lower-case hex digits (image-spec descriptor.md, "Digests"); sha512 is read, never written. */
export type Digest = `${'sha256' | 'sha512'}:${string}`;

const DIGEST_PATTERN = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return DIGEST_PATTERN.test(text);
}

/** Whether `data` has the digest. */
export async function matchesDigest(data: Uint8Array, digest: Digest): Promise<boolean> {
  const { default: ssri } = await import('ssri');
  const expected = ssri.fromHex(digestHex(digest), digestAlgorithm(digest));
  return ssri.checkData(Buffer.from(data.buffer, data.byteOffset, data.byteLength), expected) !== false;
}

export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

export function digestAlgorithm(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

export function digestOf(data: string | Uint8Array): Digest {
  return `sha256:${hash('sha256', data, 'hex')}`;
}

/** Bytes are handed to the hash in blocks: for each of many short texts the way there takes longer than hashing it. */
const TEXT_BLOCK = 1 << 15;

/** SHA-256 of the texts that it is given, one after the other. */
export class TextHash {
  readonly #hash = createHash('sha256');
  #pending = '';

  add(text: string): void {
    this.#pending += text;
    if (this.#pending.length < TEXT_BLOCK) return;
    this.#hash.update(this.#pending);
    this.#pending = '';
  }

  digest(): Digest {
    return digestFromHash(this.#hash.update(this.#pending));
  }
}

export function digestFromHash(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}`;
}

/**
 * Digest of plain data: JSON with the keys of every object sorted by code unit, `undefined` members left out. Equal data
 * gives an equal digest on every machine.
 */
export function digestOfJson(value: unknown): Digest {
  return digestOf(canonicalJson(value));
}

export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value as Record<string, unknown>)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
