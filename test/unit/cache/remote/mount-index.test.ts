import { expect } from 'chai';
import { BuildError } from '../../../../src/errors.js';
import { type MountEntry, parseMountIndex } from '../../../../src/cache/remote/mount-index.js';

const common = { mode: 0o644, uid: 0, gid: 0, mtimeNs: '0' };
const root: MountEntry = { ...common, path: '', type: 'directory' };
const entry = (path: string, type: MountEntry['type'], more: Partial<MountEntry> = {}): MountEntry => ({
  ...common,
  path,
  type,
  ...more,
});

const parse = (...entries: MountEntry[]) =>
  parseMountIndex(JSON.stringify({ entries, chunks: [], packs: [] }));

/** What a cache of a foreign hand could say, to write outside of the mount. */
const ATTACKS: Readonly<Record<string, readonly MountEntry[]>> = {
  'a path that leaves the mount': [root, entry('..', 'directory'), entry('../x', 'file')],
  'an absolute path': [root, entry('/etc/passwd', 'file')],
  'a path through a symlink': [root, entry('a', 'symlink', { link: '/etc' }), entry('a/passwd', 'file')],
  'a path without its directory': [root, entry('a/b', 'file')],
  'a hard link to a symlink’s target': [root, entry('a', 'hardlink', { link: '../outside' })],
  'the same path twice': [root, entry('a', 'file'), entry('a', 'symlink', { link: '/' })],
  'a root that is no directory': [entry('', 'symlink', { link: '/' })],
  'a chunk that is not there': [root, entry('a', 'file', { chunks: [0] })],
};

describe('indexes of cache mounts', () => {
  it('take directories, files and links in them', () => {
    const entries = [
      root,
      entry('a', 'directory'),
      entry('a/b', 'file'),
      entry('c', 'hardlink', { link: 'a/b' }),
    ];
    expect(parse(...entries).entries).to.deep.equal(entries);
  });

  for (const [what, entries] of Object.entries(ATTACKS))
    it(`refuse ${what}`, () => {
      expect(() => parse(...entries))
        .to.throw(BuildError)
        .with.property('code', 'CACHE_INVALID');
    });
});
