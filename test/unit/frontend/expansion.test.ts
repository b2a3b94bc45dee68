import { expect } from 'chai';
import { BuildError } from '../../../src/errors.js';
import { expandWord } from '../../../src/frontend/expansion.js';

const variables: Readonly<Record<string, string>> = {
  x: 'value',
  empty: '',
  path: '/a/b/c.tar.gz',
  words: 'two words',
  nested: 'x',
  ä: 'umlaut',
};

const expand = (text: string, more: Partial<Parameters<typeof expandWord>[1]> = {}) =>
  expandWord(text, { env: (name) => variables[name], escape: '\\', ...more });

describe('variables in a Dockerfile', () => {
  for (const [text, value] of [
    ['plain', 'plain'],
    ['$x', 'value'],
    ['${x}', 'value'],
    ['a${x}b$x', 'avaluebvalue'],
    ['$unset', ''],
    ['$', '$'],
    ['$$', ''],
    ['\\$x', '$x'],
    ['\\\\$x', '\\value'],
    ["'$x'", '$x'],
    ['"$x"', 'value'],
    ['"\\$x \\" \\a"', '$x " \\a'],
    ['"it\'s $x"', "it's value"],
    ['${x:-d}', 'value'],
    ['${empty:-d}', 'd'],
    ['${empty-d}', ''],
    ['${unset-d}', 'd'],
    ['${unset:-$x}', 'value'],
    ['${unset:-${other:-${x}}}', 'value'],
    ['${unset:-"two words"}', 'two words'],
    ['${x:+y}', 'y'],
    ['${empty:+y}', ''],
    ['${empty+y}', 'y'],
    ['${unset+y}', ''],
    ['${x:?no}', 'value'],
    ['${path#*/}', 'a/b/c.tar.gz'],
    ['${path##*/}', 'c.tar.gz'],
    ['${path%.*}', '/a/b/c.tar'],
    ['${path%%.*}', '/a/b/c'],
    ['${path/b/X}', '/a/X/c.tar.gz'],
    ['${path//\\//-}', '-a-b-c.tar.gz'],
    ['${path/?\\/b/_}', '/_/c.tar.gz'],
    ['$1', ''],
    ['${ä}', 'umlaut'],
    ['C:\\\\dir', 'C:\\dir'],
  ] as const) {
    it(`expand ${text} to ${JSON.stringify(value)}`, () => {
      expect(expand(text).value).to.equal(value);
    });
  }

  it('take the escape character of the directive', () => {
    expect(expand('`$x C:\\dir', { escape: '`' }).value).to.equal('$x C:\\dir');
  });

  it('split at blanks that are neither quoted nor escaped', () => {
    expect(expand('a $words "$words" b\\ c').words).to.deep.equal(['a', 'two', 'words', 'two words', 'b c']);
  });

  it('leave quotes alone in heredocs', () => {
    expect(expand('"$x" \'$x\'', { skipQuotes: true }).value).to.equal('"value" \'value\'');
  });

  it('tell which names have no value', () => {
    const { unmatched, used } = expand('$x $gone ${lost} ${kept:-d}');
    expect(unmatched).to.deep.equal(['gone', 'lost']);
    expect(used).to.deep.equal(['x']);
  });

  for (const [text, message] of [
    ['${x', "missing '}'"],
    ['${', "missing '}'"],
    ['${}', 'bad substitution'],
    ['${x:#y}', 'unsupported modifier'],
    ['${x@y}', 'unsupported modifier'],
    ['${unset:?set it}', 'unset: set it'],
    ['${empty:?}', 'not allowed to be empty'],
    ['"open', 'matching double-quote'],
    ["'open", 'matching single-quote'],
  ] as const) {
    it(`refuse ${text}`, () => {
      expect(() => expand(text))
        .to.throw(BuildError, message)
        .with.property('code', 'EXPANSION_FAILED');
    });
  }
});
