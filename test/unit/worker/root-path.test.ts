import { expect } from 'chai';
import { BuildError } from '../../../src/errors.js';
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

  it('is refused when it is a loop of links', () => {
    expect(() => resolveInRoot(root, '/loop')).to.throw(BuildError, 'loop of symbolic links');
  });

  it('is refused when its links outnumber what is followed, so that the host does not follow the rest', () => {
    const links = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`l${i}`, { link: i === 299 ? '/etc/shadow' : `l${i + 1}` }]),
    );
    const chained = makeContext(links);
    expect(() => resolveInRoot(chained, '/l0')).to.throw(BuildError, 'loop of symbolic links');
    expect(resolveInRoot(chained, '/l100')).to.equal(`${chained}/etc/shadow`);
  });
});
