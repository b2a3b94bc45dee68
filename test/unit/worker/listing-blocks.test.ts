import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerEntry, LayerIndex } from '../../../src/worker/snapshot/layer-index.js';
import {
  loadLayerIndex,
  saveLayerIndex,
  wholeLayerIndex,
} from '../../../src/worker/snapshot/layer-index-file.js';
import {
  encodeListing,
  ListingBlocks,
  type ListingPart,
} from '../../../src/worker/snapshot/listing-blocks.js';
import { comparePaths, parentPath } from '../../../src/worker/snapshot/path-order.js';
import { UnionView } from '../../../src/worker/snapshot/union-view.js';
import { Random } from '../../kit/random-build.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

/** Names that look like the format, need escapes, or order otherwise by bytes than by code units. */
const NAMES = [
  ...[
    'a',
    'b',
    'a b',
    'a-b',
    'a.b',
    'ab',
    'A',
    '!',
    '"',
    '\\',
    '\\"',
    '\n',
    '\u0001',
    '\u007f',
    'ä',
    'ﬁ',
    '😀',
    '￿',
  ],
  ...['},{"path":"', '{"path":"a"}', '],"impliedDirectories":[]}', '","type":"file"', '\\u0022', '\u2028'],
];

function randomIndex(random: Random, size: number): LayerIndex {
  const entries = new Map<string, LayerEntry>();
  const implied = new Set<string>();
  const directories = [''];
  while (entries.size < size) {
    const above = random.pick(directories);
    const name = `${random.pick(NAMES)}${random.chance(80) ? random.int(1000) : ''}`;
    const path = above === '' ? name : `${above}/${name}`;
    if (entries.has(path) || implied.has(path)) continue;
    const shared = {
      mode: random.int(0o10000),
      uid: random.int(3),
      gid: 0,
      size: 0,
      mtimeSec: random.int(1e9),
    };
    const type = random.pick(['directory', 'file', 'symlink', 'whiteout', 'hardlink', 'char'] as const);
    if (type === 'directory') directories.push(path);
    if (type === 'directory' && random.chance(20)) {
      implied.add(path);
      continue;
    }
    const files = [...entries.values()].filter((entry) => entry.type === 'file');
    entries.set(path, {
      path,
      type: type === 'hardlink' && files.length === 0 ? 'file' : type,
      ...shared,
      ...(type === 'symlink' ? { linkName: random.pick(NAMES) } : {}),
      ...(type === 'hardlink' && files.length > 0 ? { linkName: random.pick(files).path } : {}),
      ...(type === 'directory' && random.chance(10) ? { opaque: true } : {}),
      ...(random.chance(20) ? { xattrs: { [random.pick(NAMES)]: 'eA==', path: 'YQ==' } } : {}),
    });
  }
  return {
    entries: [...entries.values()].sort((a, b) => comparePaths(a.path, b.path)),
    impliedDirectories: [...implied].sort(comparePaths),
  };
}

describe(`the listing of a large layer (SEED=${SEED})`, () => {
  const path = join(tmpDir(), 'index');
  const random = new Random(SEED);

  function stored(index: LayerIndex): ListingBlocks {
    const bytes = Buffer.concat(Array.from(encodeListing(index), (part) => Buffer.from(part)));
    // Memory of its own begins with a word.
    const read = ({ at, length }: ListingPart) =>
      Buffer.from(Uint8Array.from(bytes.subarray(at, at + length)).buffer);
    return ListingBlocks.open(bytes.length, read, 4 * (3 + random.int(100)))!;
  }

  /** Paths that are there, and such that lie before, between, below and after them. */
  function paths({ entries, impliedDirectories }: LayerIndex): string[] {
    const there = ['', ...entries.map((entry) => entry.path), ...impliedDirectories];
    return there.flatMap((at) => [
      at,
      parentPath(at),
      `${at}0`,
      at.slice(0, -1),
      `${at}/a`,
      random.pick(NAMES),
    ]);
  }

  it('has the entries that the whole has, and no others', () => {
    for (let round = 0; round < 150; round++) {
      const index = randomIndex(random, 1 + random.int(60));
      const text = stored(index);
      const byPath = new Map(index.entries.map((entry) => [entry.path, entry]));
      for (const at of paths(index)) expect(text.find(at), JSON.stringify(at)).to.deep.equal(byPath.get(at));
      expect(text.entries).to.deep.equal(index.entries);
      expect(text.impliedDirectories).to.deep.equal(index.impliedDirectories);
    }
  });

  it('gives a merged file system the same lookups', () => {
    for (let round = 0; round < 60; round++) {
      const indexes = Array.from({ length: 1 + random.int(4) }, () =>
        randomIndex(random, 1 + random.int(50)),
      );
      const whole = new UnionView(indexes);
      const single = new UnionView(indexes.map(stored));
      for (const at of indexes.flatMap(paths)) {
        expect(single.lookup(at), JSON.stringify(at)).to.deep.equal(whole.lookup(at));
        expect(single.lookupTarget(at), JSON.stringify(at)).to.deep.equal(whole.lookupTarget(at));
      }
      expect([...single.walk('')]).to.deep.equal([...whole.walk('')]);
    }
  });

  it('takes one block for a lookup, and finds nothing that is not between two paths', () => {
    const index = randomIndex(random, 3_000);
    const bytes = Buffer.concat(Array.from(encodeListing(index), (part) => Buffer.from(part)));
    const reads: number[] = [];
    const read = ({ at, length }: ListingPart) => {
      reads.push(length);
      return Buffer.from(Uint8Array.from(bytes.subarray(at, at + length)).buffer);
    };
    const listing = ListingBlocks.open(bytes.length, read, 1 << 16)!;
    reads.length = 0;
    const entry = index.entries[2_000]!;
    expect(listing.find(entry.path)).to.deep.equal(entry);
    expect(listing.find(`${entry.path}\u0001`)).to.equal(undefined);
    expect(reads.length).to.be.within(1, 2);
    expect(Math.max(...reads)).to.be.below(1 << 15);
  });

  it('is read as a whole where it is small, and not believed where it is damaged', () => {
    const large = randomIndex(random, 3_000);
    for (const [index, isText] of [
      [randomIndex(random, 20), false],
      [large, true],
    ] as const) {
      saveLayerIndex(path, index);
      expect(loadLayerIndex(path) instanceof ListingBlocks).to.equal(isText);
      const data = readFileSync(path);
      const at = random.int(data.length);
      data[at] = data[at]! ^ 1;
      writeFileSync(path, data);
      expect(wholeLayerIndex(path), `byte ${at}`).to.equal('damaged');
      const read = loadLayerIndex(path);
      if (read) expect(() => read.entries).to.throw('was damaged');
      expect(existsSync(path)).to.equal(false);
      expect(loadLayerIndex(path)).to.equal(undefined);
      expect(wholeLayerIndex(path)).to.equal(undefined);
    }
  });
});
