import { randomFillSync } from 'node:crypto';
import { expect } from 'chai';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContentStore } from '../../../src/cache/content-store.js';
import { canonicalJson, digestOf } from '../../../src/oci/digest.js';
import type { LayerEntry } from '../../../src/worker/snapshot/layer-index.js';
import { type FileContent, LayerWriter } from '../../../src/worker/snapshot/layer-writer.js';
import { codeOf } from '../../kit/code-of.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const ENTRY = { path: 'f', type: 'file', mode: 0o644, uid: 0, gid: 0, size: 3, mtimeSec: 1 } as const;

/** The digest that a file's entry gets. */
function write(content: FileContent, digest = digestOf('abc')) {
  const writer = new LayerWriter(new ContentStore(tmpDir()), () => undefined);
  try {
    void writer.add({ ...ENTRY, digest }, content);
    return writer.entries[0]!.digest;
  } finally {
    writer.abort();
  }
}

describe('a file of a layer', () => {
  const path = join(tmpDir(), 'f');
  beforeEach(() => writeFileSync(path, 'abc'));
  const hashedAs = () => statSync(path);

  it('is hashed while it is copied', async () => {
    expect(write({ path, length: 3 })).to.equal(digestOf('abc'));
    const run = async () => write({ path, length: 3 }, digestOf('abd'));
    expect(await codeOf(run())).to.equal('CONTEXT_CHANGED');
  });

  it('is not hashed again in the state in which it was hashed', () => {
    const digest = digestOf('what the scan said');
    expect(write({ path, length: 3, hashedAs: hashedAs() }, digest)).to.equal(digest);
  });

  it('is hashed in another state', async () => {
    const state = hashedAs();
    for (const other of [
      { ...state, ino: 1 },
      { ...state, mtimeMs: 1 },
      { ...state, ctimeMs: 1 },
      { ...state, size: 4 },
    ]) {
      expect(write({ path, length: 3, hashedAs: other })).to.equal(digestOf('abc'));
      const run = async () => write({ path, length: 3, hashedAs: other }, digestOf('abd'));
      expect(await codeOf(run())).to.equal('CONTEXT_CHANGED');
    }
  });
});

describe('the content digest of a layer', () => {
  it('is that of the canonical JSON of its entries, but times and offsets', () => {
    const head = { mode: 0o755, uid: 1, gid: 2, size: 0, mtimeSec: 7 };
    const entries: LayerEntry[] = [
      { ...head, path: 'd', type: 'directory', xattrs: { 'security.capability': 'AQ==' } },
      { ...head, path: 'd/dev', type: 'char', deviceMajor: 1, deviceMinor: 3 },
      { ...head, path: 'd/\u{1f600}"\n', type: 'symlink', linkName: '../e' },
    ];
    const writer = new LayerWriter(new ContentStore(tmpDir()), () => undefined);
    for (const entry of entries) void writer.add(entry);
    const { contentDigest } = writer.finish('2026-01-01T00:00:00Z');
    const lines = entries.map((entry) => `${canonicalJson({ ...entry, mtimeSec: undefined })}\n`);
    expect(contentDigest).to.equal(digestOf(lines.join('')));
  });
});

describe('a layer that is hashed on another core', () => {
  const SIZE = 40 << 20;
  const path = join(tmpDir(), 'big');
  before(() => writeFileSync(path, randomFillSync(Buffer.alloc(SIZE))));

  it('has the digest of its bytes', async () => {
    const content = new ContentStore(tmpDir());
    const writer = new LayerWriter(content, () => undefined);
    for (const name of ['a', 'b', 'c'])
      await writer.add({ ...ENTRY, path: name, size: SIZE }, { path, length: SIZE });
    const { diffId } = writer.finish('2026-01-01T00:00:00Z');
    expect(digestOf(readFileSync(content.path(diffId)))).to.equal(diffId);
  });

  it('leaves nothing when it is given up', async () => {
    const root = tmpDir();
    const writer = new LayerWriter(new ContentStore(root), () => undefined);
    for (const name of ['a', 'b'])
      await writer.add({ ...ENTRY, path: name, size: SIZE }, { path, length: SIZE });
    writer.abort();
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(files).to.deep.equal([]);
  });
});
