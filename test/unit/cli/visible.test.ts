import { expect } from 'chai';
import { BuildError } from '../../../src/errors.js';
import { createPaint } from '../../../src/cli/paint.js';
import { formatError } from '../../../src/cli/print-error.js';
import { visibleLine, visibleText } from '../../../src/cli/visible.js';

describe('text from elsewhere on a terminal', () => {
  const cases: [text: string, shown: string][] = [
    ['plain ünïcode 🐳', 'plain ünïcode 🐳'],
    ['\x1b[2J\x1b]0;title\x07', '\\x1b[2J\\x1b]0;title\\x07'],
    ['a\rb', 'a\\rb'],
    ['\u009b31m', '\\x9b31m'],
    ['\u202egpj.exe', '\\u202egpj.exe'],
    ['\0\b\x7f', '\\x00\\x08\\x7f'],
  ];
  for (const [text, shown] of cases) {
    it(`shows ${JSON.stringify(text)} as ${shown}`, () => {
      expect([visibleText(text), visibleLine(text)]).to.deep.equal([shown, shown]);
    });
  }

  it('keeps the line ends of a message, and none in a name', () => {
    expect([visibleText('a\nb\tc'), visibleLine('a\nb\tc')]).to.deep.equal(['a\nb\tc', 'a\\nb\\tc']);
  });

  it('is harmless in every part of an error', () => {
    const evil = '\x1b[2J';
    const cause = new Error(`cause ${evil}`);
    const location = { file: `D${evil}`, startLine: 1, endLine: 1 };
    const error = new BuildError('RUN_FAILED', `m ${evil}`, {
      hint: `h ${evil}`,
      vertex: `v ${evil}\n#1 DONE`,
      cause,
      location,
    });
    const printed = formatError(
      error.withSource({ name: 'Dockerfile', text: `RUN ${evil}\n` }),
      createPaint(false),
    );
    expect(printed).not.to.contain('\x1b');
    expect(printed.match(/\\x1b\[2J/g)).to.have.length(6);
  });
});
