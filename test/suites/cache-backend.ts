import { expect } from 'chai';
import type { CacheBackend } from '../../src/cache/remote/cache-backend.js';
import { encodeCache } from '../../src/cache/remote/cache-config.js';
import type { Descriptor } from '../../src/oci/descriptor.js';
import { digestOf } from '../../src/oci/digest.js';

const signal = new AbortController().signal;

function blobOf(data: string | Buffer): { blob: Descriptor; open: () => AsyncIterable<Uint8Array> } {
  const bytes = Buffer.from(data);
  const mediaType = 'application/vnd.oci.image.layer.v1.tar';
  const open = async function* () {
    for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
  };
  return { blob: { mediaType, digest: digestOf(bytes), size: bytes.length }, open };
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** What every backend of remote caches keeps. `open` gives the same place each time. */
export function describeCacheBackend(name: string, open: () => CacheBackend): void {
  describe(`the cache backend ${name}`, function () {
    this.timeout(60_000);

    it('has no document and no blob at first', async () => {
      const backend = open();
      expect(await backend.resolve(signal)).to.equal(undefined);
      expect(await backend.has(blobOf('never put').blob, signal)).to.equal(false);
    });

    it('gives back what was put, to another opening of the same place', async () => {
      const { blob, open: read } = blobOf('some bytes');
      await open().put(blob, read, { signal });
      expect(await open().has(blob, signal)).to.equal(true);
      expect((await collect(open().get(blob, signal))).toString()).to.equal('some bytes');
    });

    it('takes the same blob twice', async () => {
      const { blob, open: read } = blobOf('twice');
      await open().put(blob, read, { signal });
      await open().put(blob, read, { signal });
      expect((await collect(open().get(blob, signal))).toString()).to.equal('twice');
    });

    it('streams a blob of several megabytes', async () => {
      const { blob, open: read } = blobOf(Buffer.alloc(5 << 20, 'abcdefg'));
      await open().put(blob, read, { signal });
      expect(digestOf(await collect(open().get(blob, signal)))).to.equal(blob.digest);
    });

    it('gives the document that was published last', async () => {
      const publish = async (text: string) => {
        const { blob, open: read } = blobOf(text);
        const backend = open();
        await backend.put(blob, read, { signal });
        const layer = { diffId: blob.digest, contentDigest: blob.digest, blob };
        const options = { form: backend.form, imageManifest: true, dockerTypes: false };
        const encoded = encodeCache({ layers: [layer], steps: [] }, options);
        const { config } = encoded;
        const bytes = async function* () {
          yield config!.bytes;
        };
        if (config) await backend.put(config.descriptor, bytes, { signal });
        await backend.publish(encoded.document, signal);
        return encoded.document.bytes.toString();
      };
      const first = await publish('first');
      expect((await open().resolve(signal))?.toString()).to.equal(first);
      const second = await publish('second');
      expect(second).to.not.equal(first);
      expect((await open().resolve(signal))?.toString()).to.equal(second);
    });

    it('says its place without secrets, and tells blobs of other places apart', () => {
      expect(open().place).to.not.match(/hush|S3RVER/);
      expect(open().origin).to.match(/^(docker-image|oci-layout|cache):\/\/./);
    });
  });
}
