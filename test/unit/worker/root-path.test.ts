import { expect } from 'chai';
import { makeContext } from '../../kit/context.js';
import { resolveInRoot } from '../../../src/worker/executor/root-path.js';

describe('a path inside of a root file system', () => {
  const root = makeContext({
    'real/file': 'x',
    absolute: { link: '/real' },
    relative: { link: 'real' },
    'real/up': { link: '../../../../real' },
    dangling: { link: '/not/there' },
    loop: { link: 'loop' },
  });
  const cases: [path: string, expected: string][] = [
    ['/real/file', '/real/file'],
    ['/absolute/file', '/real/file'],
    ['relative/file', '/real/file'],
    ['/real/up/file', '/real/file'],
    ['/../../etc/passwd', '/etc/passwd'],
    ['/dangling/x', '/not/there/x'],
    ['/', ''],
  ];
  for (const [path, expected] of cases) {
    it(`${path} is ${expected || '/'}`, () => {
      expect(resolveInRoot(root, path)).to.equal(root + expected);
    });
  }

  it('ends in a loop of links', () => {
    expect(resolveInRoot(root, '/loop')).to.equal(`${root}/loop`);
  });
});
