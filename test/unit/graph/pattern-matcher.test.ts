import { expect } from 'chai';
import fc from 'fast-check';
import { matchPath } from '../../../src/graph/path-match.js';
import { parseIgnoreFile, type ParentMatch, PatternMatcher } from '../../../src/graph/pattern-matcher.js';

describe('.dockerignore', () => {
  it('is cleaned line by line', () => {
    expect(parseIgnoreFile('\ufeff# no\n /a/b/ \n\n#x\n!  /c\n./d/../e\n /\n')).to.deep.equal([
      'a/b',
      '!c',
      'e',
      '/',
    ]);
  });

  for (const [patterns, path, ignored] of [
    [['foo'], 'foo', true],
    [['foo'], 'foo/bar', true],
    [['foo'], 'a/foo', false],
    [['*/foo'], 'a/foo', true],
    [['*.tmp'], 'a.tmp', true],
    [['*.tmp'], 'a/b.tmp', false],
    [['**/*.tmp'], 'a/b/c.tmp', true],
    [['**/*.tmp'], 'c.tmp', true],
    [['**/foo'], 'foo', true],
    [['**/foo'], 'a/foo/b', true],
    [['a/**'], 'a/b/c', true],
    [['a/**'], 'a', false],
    [['a/**/z'], 'a/z', true],
    [['a/**/z'], 'a/b/c/z', true],
    [['a?c'], 'abc', true],
    [['a?c'], 'a/c', false],
    [['[a-c]x'], 'bx', true],
    [['[^a-c]x'], 'bx', false],
    [['\\*'], '*', true],
    [['\\*'], 'a', false],
    [['foo', '!foo/keep'], 'foo/keep', false],
    [['foo', '!foo/keep'], 'foo/other', true],
    [['*', '!a', 'a/b'], 'a/b', true],
    [['*', '!a', 'a/b'], 'a/c', false],
    [['.'], 'a', false],
  ] as const) {
    it(`${patterns.join(' ')} ${ignored ? 'leaves out' : 'keeps'} ${path}`, () => {
      expect(new PatternMatcher(patterns).matches(path)).to.equal(ignored);
    });
  }

  const part = fc.constantFrom('a', 'b', 'ab', '*', '**', '?', 'a*');
  const pattern = fc
    .tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 3 }))
    .map(([negated, parts]) => `${negated ? '!' : ''}${parts.join('/')}`);
  const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'c'), { minLength: 1, maxLength: 4 });

  // With `!` moby's two ways differ where a directory was not asked about a pattern; BuildKit goes down the tree.
  it('gives the same going down a tree as for each path alone, without exceptions', () => {
    const plain = pattern.filter((text) => !text.startsWith('!'));
    fc.assert(
      fc.property(fc.array(plain, { maxLength: 5 }), path, (patterns, parts) => {
        const matcher = new PatternMatcher(patterns);
        let parent: ParentMatch | undefined;
        for (let depth = 1; depth <= parts.length; depth++)
          parent = matcher.matchesBelow(parts.slice(0, depth).join('/'), parent);
        expect(parent!.matched).to.equal(matcher.matches(parts.join('/')));
      }),
      { numRuns: 300 },
    );
  });

  it('never skips a directory that holds something to keep', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, (patterns, parts) => {
        const matcher = new PatternMatcher(patterns);
        if (matcher.matches(parts.join('/'))) return;
        for (let depth = 1; depth < parts.length; depth++) {
          const dir = parts.slice(0, depth).join('/');
          if (matcher.matches(dir)) expect(matcher.canSkipDirectory(dir)).to.equal(false);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('names the pattern that leaves a path out', () => {
    expect(new PatternMatcher(['a', '**/b']).matchingPattern('x/b')).to.equal('**/b');
  });
});

describe('an ignore pattern is an expression of Go', () => {
  for (const [pattern, path, matches] of [
    ['fo\\o.*', 'foo.x', 'malformed'],
    ['fo\\_o', 'fo_o', true],
    ['ba\\r', 'bar', false],
    ['ba\\r', 'ba\r', true],
    ['\\a*', 'abc', false],
    ['\\d', '7', true],
    ['[\\d]', '7', true],
    ['\\x41*', 'Ab', true],
    ['\\x41***\\x42*c', 'A/x/Bc', true],
    ['\\101', 'A', true],
    ['\\8', '8', 'malformed'],
    ['\\é', 'é', 'malformed'],
    ['x?\\b', 'xy', true],
    ['x?\\b\\b{2}y', 'xyy', false],
    ['x\\B\\B?', 'xy', true],
    ['x\\B\\b?', 'xy', false],
    ['x\\b{0}\\B{0,}?', 'xy', true],
    ['x?y{0}', 'xy', true],
    ['x?y{0,0}', 'xyy', false],
    ['x?y{0,1}', 'xyy', true],
    ['x?y{0}{2}', 'xy', 'malformed'],
    ['x?\\b{1}{2}', 'xy', 'malformed'],
    ['f*|b', 'foo', true],
    ['f*|b', 'x/b', true],
    ['f*|b', 'xbx', false],
    ['[f|b]', '|', true],
    ['{a}?', '{a}b', true],
    ['a{2}?', 'aab', true],
    ['a{2}?', 'a{2}b', false],
    ['a{1001}?', 'a', 'malformed'],
    ['{2}?', 'a', 'malformed'],
    ['[c-a]', 'b', 'malformed'],
  ] as const) {
    it(`${pattern} and ${JSON.stringify(path)}: ${matches}`, () => {
      const matcher = new PatternMatcher([pattern]);
      if (matches === 'malformed') expect(() => matcher.matches(path)).to.throw('malformed');
      else expect(matcher.matches(path)).to.equal(matches);
    });
  }

  it('may have one assertion very often', () => {
    for (const repeated of ['\\b', '\\b\\B', '\\ba{0}', '\\b\\B{2}z{0}', '\\z\\A']) {
      const pattern = `x?${repeated.repeat(250)}`;
      expect(new PatternMatcher([pattern]).matches('xy'), repeated).to.equal(
        new PatternMatcher([`x?${repeated}`]).matches('xy'),
      );
    }
  });

  it('that is none is an error of the first path it is asked about', () => {
    expect(new PatternMatcher(['a', '!\\o']).matches('b')).to.equal(false);
    expect(() => new PatternMatcher(['a', '!\\o']).matches('a')).to.throw('malformed');
  });

  it('that is no path pattern is an error at once', () => {
    for (const pattern of ['[', '[]a]', '[a-]', '[a--]', '[a-b-c]', '[-a]', '![', 'a\\', '!', '!/'])
      expect(() => new PatternMatcher([pattern]), pattern).to.throw('malformed');
  });

  it('does not try every way to repeat', () => {
    const matcher = new PatternMatcher([`${'a{0,1000}'.repeat(30)}*b`]);
    expect(() => matcher.matches('a'.repeat(1000))).to.throw('malformed');
  });
});

describe('wildcards of COPY', () => {
  for (const [pattern, name, matches] of [
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['a*c', 'abbc', true],
    ['[a-c]?', 'bz', true],
    ['[^a]', 'b', true],
    ['[^a]', 'a', false],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['a.b', 'axb', false],
    ['[\\]]', ']', true],
  ] as const) {
    it(`${pattern} ${matches ? 'matches' : 'does not match'} ${name}`, () => {
      expect(matchPath(pattern, name)).to.equal(matches);
    });
  }

  it('refuse a pattern that no name can match, before it becomes an expression', () => {
    expect(() => matchPath('a"'.repeat(20_000), 'x')).to.throw('longer than a path can be');
  });

  for (const pattern of ['[', '[a', '[]', 'a\\', '[a-]']) {
    it(`refuse the malformed ${pattern}`, () => {
      expect(() => matchPath(pattern, 'x')).to.throw('malformed');
    });
  }
});
