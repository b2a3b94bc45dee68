import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDiskFull } from '../../src/disk-full.js';
import { BuildError, ERROR_EXIT_STATUS, exitStatusOf, locateError, nearestName } from '../../src/errors.js';

const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8');

describe('errors', () => {
  it('have a section in docs/errors.md for each code, and no section without a code', () => {
    const sections = [...page.matchAll(/^## (\S+)$/gm)].map((match) => match[1]);
    expect(sections.toSorted()).to.deep.equal(Object.keys(ERROR_EXIT_STATUS).toSorted());
  });

  it('give their exit status, and 1 for what is no error of ours', () => {
    expect(exitStatusOf(new BuildError('USAGE', 'x'))).to.equal(2);
    expect(exitStatusOf(new Error('x'))).to.equal(1);
  });

  it('keep the innermost place', () => {
    const inner = { file: 'Dockerfile', startLine: 3, endLine: 3 };
    const outer = { file: 'Dockerfile', startLine: 1, endLine: 9 };
    const error = locateError(new BuildError('RUN_FAILED', 'x', { location: inner }), {
      location: outer,
      vertex: 'RUN x',
    });
    expect(error.location).to.equal(inner);
    expect(error.vertex).to.equal('RUN x');
  });

  it('name what was thrown first, not the end of what was in use after it', () => {
    const fail = (error: Error) => {
      throw error;
    };
    const thrown = () => {
      using _outer = { [Symbol.dispose]: () => fail(new Error('outer end')) };
      using _inner = { [Symbol.dispose]: () => fail(new Error('inner end')) };
      fail(new BuildError('RUN_FAILED', 'the reason'));
    };
    expect(thrown).to.throw().with.property('name', 'SuppressedError');
    try {
      thrown();
    } catch (error) {
      expect(locateError(error, { vertex: 'RUN x' })).to.include({
        code: 'RUN_FAILED',
        message: 'the reason',
        vertex: 'RUN x',
      });
    }
  });

  it('are seen to be of a full disk behind the end of what was in use', () => {
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    const thrown = Object.assign(new Error('end'), { name: 'SuppressedError', suppressed: full });
    expect(isDiskFull(thrown)).to.equal(true);
    expect(isDiskFull(new BuildError('STORE_FAILED', 'x', { cause: thrown }))).to.equal(true);
    expect(isDiskFull(new Error('x', { cause: new Error('y') }))).to.equal(false);
  });

  it('say which limit of open files was reached', () => {
    const thrown = Object.assign(new Error('EMFILE: too many open files, open x'), { code: 'EMFILE' });
    const { code, message, hint } = locateError(thrown, {});
    expect(code).to.equal('TOO_MANY_OPEN_FILES');
    expect(message).to.include('open x');
    expect(hint).to.include('ulimit -Hn');
  });

  it('become one whatever was thrown', () => {
    for (const thrown of [undefined, null, 'x', 1]) expect(locateError(thrown, {}).code).to.equal('INTERNAL');
  });

  for (const [name, candidates, nearest] of [
    ['bulid', ['build', 'base'], 'build'],
    ['FORM', ['FROM', 'RUN'], 'FROM'],
    ['xyz', ['build'], undefined],
    ['--tga', ['--tag', '--target'], '--tag'],
  ] as const) {
    it(`suggest ${nearest ?? 'nothing'} for ${name}`, () => {
      expect(nearestName(name, candidates)).to.equal(nearest);
    });
  }
});
