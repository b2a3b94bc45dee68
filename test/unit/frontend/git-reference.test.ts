import { expect } from 'chai';
import { BuildError } from '../../../src/errors.js';
import { gitSourceOp, parseGitReference } from '../../../src/frontend/git-reference.js';

const REPO = 'https://host/repo.git';
const COMMIT = 'a'.repeat(40);

describe('a git reference', () => {
  for (const [text, remote, attributes] of [
    [REPO, REPO, {}],
    [`${REPO}#main`, REPO, { ref: 'main' }],
    [`${REPO}#main:dir/sub`, REPO, { ref: 'main', subdirectory: 'dir/sub' }],
    [`${REPO}#:dir`, REPO, { subdirectory: 'dir' }],
    [`${REPO}?ref=main`, REPO, { ref: 'main' }],
    [`${REPO}?tag=v1`, REPO, { ref: 'refs/tags/v1' }],
    [`${REPO}?tag=refs/tags/v1`, REPO, { ref: 'refs/tags/v1' }],
    [`${REPO}?branch=b`, REPO, { ref: 'refs/heads/b' }],
    [`${REPO}?branch=refs/heads/b`, REPO, { ref: 'refs/heads/b' }],
    [`${REPO}?commit=${COMMIT}`, REPO, { ref: COMMIT, checksum: COMMIT }],
    [`${REPO}?checksum=${COMMIT}`, REPO, { ref: COMMIT, checksum: COMMIT }],
    [`${REPO}?tag=v1&checksum=abc`, REPO, { ref: 'refs/tags/v1', checksum: 'abc' }],
    [`${REPO}?subdir=dir`, REPO, { subdirectory: 'dir' }],
    [`${REPO}?subdir=dir#main:dir`, REPO, { ref: 'main', subdirectory: 'dir' }],
    [`${REPO}?keep-git-dir=true`, REPO, { keepGitDirectory: 'true' }],
    [`${REPO}?keep-git-dir`, REPO, { keepGitDirectory: 'true' }],
    [`${REPO}?keep-git-dir=0`, REPO, {}],
    [`${REPO}?submodules=false`, REPO, { submodules: 'false' }],
    [`${REPO}?submodules=true`, REPO, {}],
    [`${REPO}?mtime=commit`, REPO, { mtime: 'commit' }],
    [`${REPO}?mtime=checkout`, REPO, {}],
    [`${REPO}?ref=main&fetch-by-commit=true`, REPO, { ref: 'main', fetchByCommit: 'true' }],
    ['git@host:team/repo.git#v1', 'git@host:team/repo.git', { ref: 'v1' }],
    ['git@host:team/repo?tag=v1', 'git@host:team/repo', { ref: 'refs/tags/v1' }],
    ['ssh://git@host:22/repo#v1:d', 'ssh://git@host:22/repo', { ref: 'v1', subdirectory: 'd' }],
    ['git://host/repo?subdir=d', 'git://host/repo', { subdirectory: 'd' }],
  ] as const) {
    it(`${text} is ${JSON.stringify(attributes)}`, () => {
      const op = gitSourceOp(parseGitReference(text)!);
      expect(op.identifier).to.equal(`git+${remote}`);
      expect(op.attributes).to.deep.equal(attributes);
    });
  }

  for (const text of [
    'https://host/file.tar.gz',
    'https://host/repo.git/file',
    'dir/file',
    '/repo.git',
    'repo.git',
  ])
    it(`${text} is none`, () => {
      expect(parseGitReference(text)).to.equal(undefined);
    });

  for (const [query, words] of [
    ['?depth=1', 'unexpected query "depth"'],
    ['?ref=a&ref=b', 'query "ref" has multiple values'],
    ['?ref=', 'query "ref" has no value'],
    ['?tag=a&branch=b', 'branch conflicts with tag'],
    ['?ref=a#b', 'ref conflicts'],
    ['?subdir=a#main:b', 'subdir conflicts'],
    ['?submodules=maybe', 'invalid submodules value'],
    ['?keep-git-dir=maybe', 'invalid keep-git-dir value'],
    ['?fetch-by-commit=maybe', 'invalid fetch-by-commit value'],
  ] as const)
    it(`${query} is refused`, () => {
      expect(() => parseGitReference(`${REPO}${query}`)).to.throw(BuildError, words);
    });

  it('that is refused is shown without its password', () => {
    expect(() => parseGitReference('https://user:word@host/repo.git?depth=1'))
      .to.throw(BuildError)
      .that.satisfies((error: BuildError) => !error.message.includes('word@'));
  });
});
