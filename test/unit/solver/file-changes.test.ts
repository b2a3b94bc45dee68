import { expect } from 'chai';
import type { FileFacts, FileListing } from '../../../src/graph/contract.js';
import { changeText } from '../../../src/solver/explanation-text.js';
import { compareListings } from '../../../src/solver/file-changes.js';

const file: FileFacts = { type: 'file', mode: 0o644, owner: '0:0', digest: 'aa' };
const directory: FileFacts = { type: 'directory', mode: 0o755, owner: '0:0' };

function told(before: Record<string, FileFacts>, after: Record<string, FileFacts>): string | undefined {
  const listing = (entries: Record<string, FileFacts>): FileListing => new Map(Object.entries(entries));
  const change = compareListings('the build context', listing(before), listing(after));
  return change && changeText(change);
}

describe('changes of files', () => {
  const cases: readonly [name: string, before: FileFacts, after: FileFacts, text: string][] = [
    ['content', file, { ...file, digest: 'bb' }, '"a" changed (content) in the build context'],
    [
      'mode',
      file,
      { ...file, mode: 0o600 },
      '"a" changed (mode 0644 → 0600) in the build context; another umask? --chmod, or --context-mode=git, takes the modes out of the key',
    ],
    ['owner', file, { ...file, owner: '1:2' }, '"a" changed (owner 0:0 → 1:2) in the build context'],
    [
      'link target',
      { ...file, type: 'symlink', link: 'x' },
      { ...file, type: 'symlink', link: 'y' },
      '"a" changed (link target x → y) in the build context',
    ],
    ['type', file, directory, '"a" changed (type file → directory) in the build context'],
    [
      'capability',
      file,
      { ...file, xattr: 'AQ==' },
      '"a" changed (xattr security.capability) in the build context',
    ],
    [
      'extended attributes that differ',
      { ...file, xattr: '{"user.a":"x","user.b":"y","user.c":"z"}' },
      { ...file, xattr: '{"user.b":"y","user.c":"w","user.d":"v"}' },
      '"a" changed (xattr user.a user.c user.d) in the build context',
    ],
    [
      'content and mode',
      file,
      { ...file, digest: 'bb', mode: 0o755 },
      '"a" changed (content, mode 0644 → 0755) in the build context',
    ],
  ];
  for (const [name, before, after, text] of cases)
    it(`names the ${name}`, () => {
      expect(told({ a: before }, { a: after })).to.equal(text);
    });

  it('says nothing where nothing differs', () => {
    expect(told({ a: file }, { a: { ...file } })).to.equal(undefined);
  });

  it('names added and removed files, not the directories that came and went with them', () => {
    expect(told({ d: directory, 'd/x': file }, { e: directory, 'e/x': file })).to.equal(
      '2 files changed in the build context: "e/x" was added, "d/x" was removed',
    );
    expect(told({}, { d: directory })).to.equal('"d" was added to the build context');
  });

  it('names three and counts the rest', () => {
    const after = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, file]));
    expect(told({}, after)).to.equal(
      '6 files changed in the build context: "a" was added, "b" was added, "c" was added and 3 more',
    );
  });

  it('gives the hint of the umask only when nothing but modes differs', () => {
    const mode = { ...file, mode: 0o664 };
    expect(told({ a: file, b: file }, { a: mode, b: mode })).to.contain('umask');
    expect(told({ a: file, b: file }, { a: mode, b: { ...file, digest: 'bb' } })).to.not.contain('umask');
  });
});
