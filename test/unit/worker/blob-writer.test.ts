import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { expect } from 'chai';
import { ContentStore } from '../../../src/cache/content-store.js';
import { digestOf } from '../../../src/oci/digest.js';
import { BlobWriter } from '../../../src/worker/snapshot/blob-writer.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const MIB = 1 << 20;

function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}

/** Fills the room that a reader would, as often as needed. */
function fill(blob: BlobWriter, data: Buffer): void {
  for (let at = 0; at < data.length;) {
    const room = blob.room(data.length - at);
    at += data.copy(room, 0, at);
    blob.fill(room.length);
  }
}

describe('a blob that is being written', () => {
  const data = randomBytes(5 * MIB + 3);

  for (const [name, write] of [
    [
      'in small parts',
      (blob) => [0, 1, 700, MIB].forEach((at, i, all) => blob.append(data.subarray(at, all[i + 1]))),
    ],
    ['in one part', (blob) => blob.append(data)],
    [
      'in one part that does not begin with the buffer',
      (blob) => (blob.append(data.subarray(0, 5)), blob.append(data.subarray(5))),
    ],
    ['by a reader', (blob) => fill(blob, data)],
    ['by both', (blob) => (fill(blob, data.subarray(0, MIB + 9)), blob.append(data.subarray(MIB + 9)))],
  ] as [string, (blob: BlobWriter) => void][]) {
    it(`has the digest of its bytes, written ${name}`, () => {
      const content = new ContentStore(tmpDir());
      const seen: Buffer[] = [];
      const blob = new BlobWriter(content, (part) => seen.push(Buffer.from(part)));
      write(blob);
      expect(blob.size).to.equal(data.length);
      const digest = blob.end();
      blob.commit(digest);
      expect(digest).to.equal(digestOf(data));
      expect(readFileSync(content.path(digest)).equals(data)).to.equal(true);
      expect(Buffer.concat(seen).equals(data)).to.equal(true);
    });
  }

  it('is not written again where a small one is there, but where that is damaged or gone', () => {
    const content = new ContentStore(tmpDir());
    const write = (between: (path: string) => void = () => undefined) => {
      const blob = new BlobWriter(content);
      blob.append(Buffer.from('small'));
      const digest = blob.end();
      expect(blob.size).to.equal(5);
      between(content.path(digest));
      blob.commit(digest);
      expect(readFileSync(content.path(digest), 'utf8')).to.equal('small');
      return { path: content.path(digest), ino: statSync(content.path(digest)).ino };
    };
    const { path, ino } = write();

    expect(write().ino).to.equal(ino);
    writeFileSync(path, 'smell');
    write();
    write((now) => rmSync(now));
    expect(filesBelow(content.root)).to.deep.equal([basename(path)]);
  });

  it('is nothing before it has its name, nor when it is given up', () => {
    const root = tmpDir();
    const content = new ContentStore(root);
    const blob = new BlobWriter(content);
    blob.append(data);
    expect(content.has(blob.end())).to.equal(false);
    blob.abort();
    expect(filesBelow(root)).to.deep.equal([]);
  });
});
