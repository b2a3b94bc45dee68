import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { BuildError } from '../../src/errors.js';
import { extractLayer, readLayer } from '../../src/worker/snapshot/extract.js';
import { codeOf } from '../kit/code-of.js';
import { needs } from '../kit/needs.js';
import { inChunks, manyEntries, paxEntry, type RawEntry, rawEntry, rawTar } from '../kit/tar.js';
import { tmpDir } from '../kit/tmp-dir.js';

interface Case {
  readonly what: string;
  readonly entries: readonly (RawEntry | Buffer)[];
  /** What of it comes out: TAR_INVALID, or paths that are there afterwards. */
  readonly ends: 'TAR_INVALID' | readonly string[];
}

const far = '../'.repeat(12);

const CASES: readonly Case[] = [
  { what: 'a name with ..', entries: [{ name: '../canary' }], ends: 'TAR_INVALID' },
  { what: 'a name with .. in its middle', entries: [{ name: 'a/../../canary' }], ends: 'TAR_INVALID' },
  { what: 'a name that ends in ..', entries: [{ name: 'a/..', flag: '5' }], ends: 'TAR_INVALID' },
  {
    what: 'a name that is not UTF-8',
    entries: [{ name: 'a', raw: { 0: Buffer.from([0x61, 0xff]) } }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a PAX path that is not UTF-8',
    entries: [paxEntry({ path: Buffer.from('a\xffb', 'latin1') }), {}],
    ends: 'TAR_INVALID',
  },
  { what: 'an absolute name', entries: [{ name: '/canary' }], ends: ['canary'] },
  { what: 'a name with many slashes', entries: [{ name: '////canary//x' }], ends: ['canary/x'] },
  { what: 'a PAX path with ..', entries: [paxEntry({ path: '../canary' }), {}], ends: 'TAR_INVALID' },
  {
    what: 'a GNU long name with ..',
    entries: [{ name: 'l', flag: 'L', body: '../canary\0' }, {}],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a ustar prefix with ..',
    entries: [{ name: 'canary', raw: { 345: Buffer.from('..') } }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a file through an absolute link',
    entries: [{ name: 'a', flag: '2', link: '/canaries' }, { name: 'a/canary' }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a file through a relative link',
    entries: [{ name: 'a', flag: '2', link: `${far}canaries` }, { name: 'a/canary' }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a directory through a link',
    entries: [
      { name: 'a', flag: '2', link: '..' },
      { name: 'a/canary', flag: '5' },
    ],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a link in place of a directory',
    entries: [
      { name: 'a', flag: '5' },
      { name: 'a/b' },
      { name: 'a', flag: '2', link: '..' },
      { name: 'a/canary' },
    ],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a link in place of an implied directory',
    entries: [
      { name: 'a/b', flag: '5' },
      { name: 'a', flag: '2', link: '../canaries' },
    ],
    ends: ['a'],
  },
  {
    what: 'a file over a link',
    entries: [
      { name: 'a', flag: '2', link: '../canary' },
      { name: 'a', body: 'mine' },
    ],
    ends: ['a'],
  },
  {
    what: 'a directory over a link',
    entries: [
      { name: 'a', flag: '2', link: '../canaries' },
      { name: 'a', flag: '5', mode: 0o777 },
    ],
    ends: ['a'],
  },
  {
    what: 'a hard link that points out',
    entries: [{ name: 'a', flag: '1', link: '../canary' }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a hard link to an absolute path',
    entries: [{ name: 'a', flag: '1', link: '/etc/passwd' }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a hard link through a link',
    entries: [
      { name: 'd', flag: '2', link: '..' },
      { name: 'a', flag: '1', link: 'd/canary' },
    ],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a write to a hard link of a link',
    entries: [
      { name: 'a', flag: '2', link: '../canary' },
      { name: 'b', flag: '1', link: 'a' },
      { name: 'b', body: 'x' },
    ],
    ends: ['a', 'b'],
  },
  {
    what: 'a hard link to a directory',
    entries: [
      { name: 'd', flag: '5' },
      { name: 'a', flag: '1', link: 'd' },
    ],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a hard link to itself',
    entries: [{ name: 'a' }, { name: 'a', flag: '1', link: 'a' }],
    ends: 'TAR_INVALID',
  },
  { what: 'a hard link to the root', entries: [{ name: 'a', flag: '1', link: '/' }], ends: 'TAR_INVALID' },
  { what: 'a whiteout of ..', entries: [{ name: '.wh...' }], ends: 'TAR_INVALID' },
  { what: 'a whiteout of .. further down', entries: [{ name: 'a/.wh...' }], ends: 'TAR_INVALID' },
  { what: 'a whiteout of .', entries: [{ name: '.wh..' }], ends: 'TAR_INVALID' },
  { what: 'a whiteout of nothing', entries: [{ name: '.wh.' }], ends: 'TAR_INVALID' },
  {
    what: 'a whiteout through a link',
    entries: [{ name: 'a', flag: '2', link: '..' }, { name: 'a/.wh.canary' }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'an opaque marker through a link',
    entries: [{ name: 'a', flag: '2', link: '../canaries' }, { name: 'a/.wh..wh..opq' }],
    ends: 'TAR_INVALID',
  },
  { what: 'an opaque marker without its directory', entries: [{ name: 'a/.wh..wh..opq' }], ends: ['a'] },
  {
    what: 'a link in place of an opaque directory',
    entries: [{ name: 'a/b/.wh..wh..opq' }, { name: 'a', flag: '2', link: '../canaries' }],
    ends: ['a'],
  },
  { what: 'a file in place of the root', entries: [{ name: '.' }], ends: 'TAR_INVALID' },
  {
    what: 'a link in place of the root',
    entries: [{ name: '/', flag: '2', link: '/' }],
    ends: 'TAR_INVALID',
  },
  { what: 'a file below a file', entries: [{ name: 'a' }, { name: 'a/b' }], ends: 'TAR_INVALID' },
  {
    what: 'a name longer than the file system takes',
    entries: [paxEntry({ path: 'n'.repeat(300) }), {}],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a path longer than PATH_MAX',
    entries: [paxEntry({ path: 'a/'.repeat(500_000) + 'b' }), {}],
    ends: 'TAR_INVALID',
  },
  {
    what: 'a path of a thousand directories',
    entries: [paxEntry({ path: `${'a/'.repeat(1000)}b` }), {}],
    ends: [`${'a/'.repeat(1000)}b`],
  },
  { what: 'a NUL in a PAX path', entries: [paxEntry({ path: 'a\0/../../canary' }), {}], ends: 'TAR_INVALID' },
  { what: 'a link without a target', entries: [{ name: 'a', flag: '2' }], ends: 'TAR_INVALID' },
  {
    what: 'a target longer than PATH_MAX',
    entries: [paxEntry({ linkpath: 'x'.repeat(5000) }), { flag: '2' }],
    ends: 'TAR_INVALID',
  },
  {
    what: 'an xattr larger than the file system takes',
    entries: [paxEntry({ 'SCHILY.xattr.user.x': 'v'.repeat(100_000) }), {}],
    ends: 'TAR_INVALID',
  },
  {
    what: "overlay's own xattrs",
    entries: [paxEntry({ 'SCHILY.xattr.trusted.overlay.redirect': '/canaries' }), { name: 'a', flag: '5' }],
    ends: ['a'],
  },
  { what: 'names with newlines and escapes', entries: [{ name: 'a\n\x1b[2Jb' }], ends: ['a\n\x1b[2Jb'] },
  {
    what: 'a name of the prototype',
    entries: [{ name: '__proto__/constructor' }],
    ends: ['__proto__/constructor'],
  },
  { what: 'a fifo', entries: [{ name: 'f', flag: '6' }], ends: ['f'] },
  { what: 'a setuid file', entries: [{ name: 's', mode: 0o4755 }], ends: ['s'] },
];

/** A target beside files that nothing may touch. */
function guarded() {
  const home = tmpDir();
  const target = join(home, 'target');
  mkdirSync(target);
  mkdirSync(join(home, 'canaries/b'), { recursive: true });
  writeFileSync(join(home, 'canary'), 'untouched');
  const state = () =>
    JSON.stringify(
      ['', 'canary', 'canaries', 'canaries/b'].map((path) => {
        const { mode, ino, mtimeMs, nlink, uid } = statSync(join(home, path));
        // The target itself may get its times.
        return path === '' ? readdirSync(home) : { mode, ino, mtimeMs, nlink, uid };
      }),
    );
  return { target, state, canary: () => readFileSync(join(home, 'canary'), 'utf8') };
}

describe('layers that mean harm', () => {
  before(function () {
    needs(this, 'mounts');
  });

  for (const { what, entries, ends } of CASES) {
    it(`${what} stays inside`, async () => {
      const { target, state, canary } = guarded();
      const before = state();
      const extracted = extractLayer(inChunks(rawTar(...entries)), target);
      if (ends === 'TAR_INVALID') expect(await codeOf(extracted)).to.equal(ends);
      else {
        const { entries: listed, impliedDirectories } = await extracted;
        const paths = [...impliedDirectories, ...listed.map((entry) => entry.path)];
        expect(paths).to.include.members([...ends]);
        // Listing and directory agree, so that no later reader goes through a link.
        for (const path of impliedDirectories)
          expect(statSync(join(target, path)).isDirectory()).to.equal(true);
      }
      expect(state()).to.equal(before);
      expect(canary()).to.equal('untouched');
    });
  }

  it('gives the bytes of a replaced file to its hard link', async () => {
    const archive = rawTar(
      { name: 'a', body: 'first' },
      { name: 'b', flag: '1', link: 'a' },
      { name: 'a', body: 'second' },
    );
    const { target } = guarded();
    const { entries } = await extractLayer(inChunks(archive), target);
    expect(entries.map(({ path, type, size }) => [path, type, size])).to.deep.equal([
      ['a', 'file', 6],
      ['b', 'file', 5],
    ]);
    expect(readFileSync(join(target, 'b'), 'utf8')).to.equal('first');
  });

  it('lists no hard link to itself where a file becomes a link to its own link', async () => {
    const archive = rawTar(
      { name: 'x', body: 'first' },
      { name: 't', flag: '1', link: 'x' },
      { name: 'u', flag: '1', link: 'x' },
      { name: 'x', flag: '1', link: 't' },
    );
    const { target } = guarded();
    const { entries } = await extractLayer(inChunks(archive), target);
    expect(entries.map(({ path, type, size, linkName }) => [path, type, size, linkName])).to.deep.equal([
      ['t', 'file', 5, undefined],
      ['u', 'hardlink', 0, 't'],
      ['x', 'hardlink', 0, 't'],
    ]);
    expect(new Set(['t', 'u', 'x'].map((name) => statSync(join(target, name)).ino))).to.have.property(
      'size',
      1,
    );
  });

  it('refuses a hard link to itself, and one to what it replaces', async () => {
    const archives = [
      rawTar({ name: 'x' }, { name: 'x', flag: '1', link: 'x' }),
      rawTar({ name: 'x' }, { name: 't', flag: '1', link: 'x' }, { name: 't', flag: '1', link: 't' }),
      rawTar({ name: 'd/f' }, { name: 'd', flag: '1', link: 'd/f' }),
    ];
    for (const archive of archives) {
      expect(await codeOf(readLayer(inChunks(archive), undefined))).to.equal('TAR_INVALID');
      expect(await codeOf(extractLayer(inChunks(archive), guarded().target))).to.equal('TAR_INVALID');
    }
  });

  it('lists many hard links to one file in linear time, and gives its bytes on from one to the next', async () => {
    const links = 30_000;
    const archive = async function* () {
      yield rawTar({ name: 'x', body: 'first' }).subarray(0, -1024);
      yield* inChunks(
        Buffer.concat([...Array(links).keys()].map((i) => rawEntry({ name: `l${i}`, flag: '1', link: 'x' }))),
      );
      yield* manyEntries(links, (i) => ({ name: i === 0 ? 'x' : `l${i - 1}` }));
    };
    const started = performance.now();
    const { entries } = await readLayer(archive(), undefined);
    expect(performance.now() - started).to.be.lessThan(10_000);
    expect(entries.filter(({ size }) => size === 5).map(({ path }) => path)).to.deep.equal([`l${links - 1}`]);
  });

  it('lists a million entries in bounded memory and refuses more than the limit', async function () {
    this.timeout(300_000);
    const million = Number(process.env['HOSTILE_ENTRIES'] ?? 300_000);
    const entries = manyEntries(million, (i) => ({ name: `d${i % 1000}/file-${i}` }));
    const index = await readLayer(entries, undefined);
    expect(index.entries).to.have.length(million);
    expect(process.memoryUsage().rss).to.be.lessThan(3e9);
  });

  it('refuses directories that are replaced again and again', async () => {
    const archive = async function* () {
      yield* inChunks(
        rawTar(...Array.from({ length: 20_000 }, (_, i) => ({ name: `keep-${i}` }))).subarray(0, -1024),
      );
      yield* manyEntries(20_000, (i) => (i % 2 === 0 ? { name: 'x/y' } : { name: 'x' }));
    };
    const error = await readLayer(archive(), undefined).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(BuildError);
    expect((error as BuildError).code).to.equal('TAR_INVALID');
    expect(existsSync('x')).to.equal(false);
  });
});
