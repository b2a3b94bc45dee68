import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
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
