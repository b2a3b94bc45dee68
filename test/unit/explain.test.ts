import { expect } from 'chai';
import { openStepHistory } from '../../src/explain.js';
import type { StateRoot } from '../../src/cache/state-root.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('the history of a build', () => {
  const store = { state: { steps: tmpDir() } as StateRoot };
  const subjectOf = (options: Parameters<typeof openStepHistory>[0]) =>
    openStepHistory(options, store).subject;
  const namesOf = (options: Parameters<typeof openStepHistory>[0]) => openStepHistory(options, store).names;

  it('is that of a directory and a Dockerfile, whatever the tags are', () => {
    expect(subjectOf({ context: '/ci/1/shop/' })).to.deep.equal(['/ci/1/shop', '/ci/1/shop/Dockerfile']);
    expect(subjectOf({ context: '/ci/1/shop', file: '/ci/1/shop/d/Web', tags: ['a'] })).to.deep.equal([
      '/ci/1/shop',
      '/ci/1/shop/d/Web',
    ]);
  });

  it('keeps no password of a URL', () => {
    const context = 'https://me:hunter2@example.org/shop.git#main';
    expect(JSON.stringify([subjectOf({ context }), namesOf({ context })])).to.not.contain('hunter2');
    expect(subjectOf({ context })[0]).to.match(/^https:\/\/.*example\.org\/shop\.git#main$/);
  });

  it('tells what a build is called in any place: its image without the tag, target, directory, Dockerfile', () => {
    expect(
      namesOf({
        context: '/ci/1/shop',
        file: '/ci/1/shop/d/Web',
        tags: ['example.org/shop:7'],
        target: 'web',
      }),
    ).to.deep.equal({ image: 'example.org/shop', target: 'web', directory: 'shop', dockerfile: 'd/Web' });
    expect(namesOf({ context: '-', tags: ['shop:7'] })).to.include({ image: 'docker.io/library/shop' });
  });
});
