import { expect } from 'chai';
import { parseIgnoreFile, PatternMatcher } from '../../../src/graph/pattern-matcher.js';
import { matchPath } from '../../../src/graph/path-match.js';
import { replacePattern, trimPattern } from '../../../src/frontend/shell-pattern.js';
import { codeOf } from '../../kit/code-of.js';
import { convertText, imageResolver } from './convert-text.js';

const repeated = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('');

describe('Dockerfiles that mean harm', () => {
  const refused: [what: string, text: () => string, code: string][] = [
    [
      'a variable that doubles sixty times',
      () => `FROM scratch\nENV a=xx\n${repeated(60, () => 'ENV a=$a$a\n')}`,
      'EXPANSION_FAILED',
    ],
    [
      'a global variable that doubles',
      () => `ARG a=xx\n${repeated(60, () => 'ARG a=$a$a\n')}FROM $a\n`,
      'EXPANSION_FAILED',
    ],
    [
      'labels that repeat a long variable',
      () => `FROM scratch\nENV a=${'x'.repeat(60_000)}\n${repeated(3000, (i) => `LABEL l${i}=$a\n`)}`,
      'EXPANSION_FAILED',
    ],
    [
      'a replacement that multiplies',
      () => `FROM scratch\nENV a=${'x'.repeat(60_000)}\nENV b=\${a//x/$a}\n`,
      'EXPANSION_FAILED',
    ],
    [
      'braces ten thousand deep',
      () => `FROM scratch\nENV a=${'${b:-'.repeat(10_000)}x${'}'.repeat(10_000)}\n`,
      'EXPANSION_FAILED',
    ],
    ['braces without an end', () => `FROM scratch\nENV a=${'${b:-'.repeat(10_000)}\n`, 'EXPANSION_FAILED'],
    [
      'ONBUILD of ONBUILD without an end',
      () => `FROM scratch\n${'ONBUILD '.repeat(8000)}RUN x\n`,
      'DOCKERFILE_SYNTAX',
    ],
    ['more stages than the limit', () => repeated(100_001, () => 'FROM scratch\n'), 'DOCKERFILE_SYNTAX'],
    ['a line of a MiB', () => `FROM scratch\nRUN ${'x'.repeat(1 << 20)}\n`, 'DOCKERFILE_SYNTAX'],
    [
      'stages that inherit more and more',
      () => `FROM scratch AS s0\n${repeated(8000, (i) => `FROM s${i} AS s${i + 1}\nENV e${i}=1\n`)}`,
      'EXPANSION_FAILED',
    ],
    [
      'all ports again and again',
      () => `FROM scratch\n${repeated(2000, () => 'EXPOSE 1-65535\n')}`,
      'EXPANSION_FAILED',
    ],
    ['a stage from itself', () => 'FROM b AS a\nCOPY --from=a /x /x\n', 'STAGE_CYCLE'],
  ];
  for (const [what, text, code] of refused) {
    it(`with ${what} are refused`, async function () {
      this.timeout(60_000);
      expect(await codeOf(convertText(text()))).to.equal(code);
    });
  }

  const taken: [what: string, text: () => string][] = [
    ['a hundred thousand stages', () => repeated(100_000, (i) => `FROM scratch AS s${i}\n`)],
    [
      'a chain of five thousand stages',
      () => `FROM scratch AS s0\n${repeated(5000, (i) => `FROM s${i} AS s${i + 1}\n`)}`,
    ],
    ['a hundred thousand stages of one name', () => repeated(100_000, () => 'FROM scratch AS s\n')],
    ['two hundred thousand variables', () => `FROM scratch\n${repeated(200_000, (i) => `ENV e${i}=1\n`)}`],
    ['a hundred thousand labels', () => `FROM scratch\n${repeated(100_000, (i) => `LABEL l${i}=1\n`)}`],
    ['many blanks in a line', () => `FROM scratch\nLABEL a="${' '.repeat(60_000)}x"${' '.repeat(5000)}\n`],
    [
      'blanks over many lines',
      () => `FROM scratch\nLABEL a="${repeated(200, () => `${' '.repeat(30_000)}\\\n`)}x"\n`,
    ],
    ['a directive of blanks', () => `# syntax=a${' '.repeat(60_000)}b\nFROM scratch\n`],
    [
      'a long name that is not set',
      () => `FROM scratch\nENV ${'e'.repeat(30_000)}=1\nENV a=$${'f'.repeat(30_000)}\n`,
    ],
    [
      'names of the prototype',
      () =>
        'FROM scratch AS constructor\nARG constructor=1\nENV __proto__=1 toString=2\nLABEL __proto__=1 hasOwnProperty=2\n',
    ],
  ];
  for (const [what, text] of taken) {
    it(`with ${what} are taken in bounded time`, async function () {
      this.timeout(60_000);
      const { targets } = await convertText(text());
      expect(targets).to.have.length(1);
      expect(process.memoryUsage().rss).to.be.lessThan(2.5e9);
    });
  }

  it('keep a label of the prototype as a label', async () => {
    const { targets } = await convertText('FROM scratch\nLABEL __proto__=1 a=2\n');
    expect(Object.entries(targets[0]!.config.config!.Labels!)).to.deep.equal([
      ['__proto__', '1'],
      ['a', '2'],
    ]);
  });

  it('get a hundred thousand triggers of a base image once', async function () {
    this.timeout(60_000);
    const OnBuild = Array.from({ length: 100_000 }, (_, i) => `LABEL t${i % 10}=${i}`);
    const options = { imageResolver: imageResolver({ config: { OnBuild } }) };
    const { targets } = await convertText('FROM base\n', options);
    expect(targets[0]!.config.config!.OnBuild).to.equal(undefined);
  });
});

describe('patterns that mean harm', () => {
  const stars = `${'*a'.repeat(40)}b`;
  const name = 'a'.repeat(250);

  it('take time that grows with name and pattern only', () => {
    const ignored = new PatternMatcher([stars, `${'**/*a'.repeat(20)}b`, `${'**a'.repeat(20)}]b`]);
    expect(ignored.matches(`${name}/${name}`)).to.equal(false);
    expect(matchPath(stars, name)).to.equal(false);
    expect(matchPath(`${'*a'.repeat(40)}*`, name)).to.equal(true);
    expect(replacePattern('a'.repeat(3000), stars, { replacement: '', all: true, most: 1e6 })).to.have.length(
      3000,
    );
    expect(trimPattern('a'.repeat(3000), stars, '%')).to.have.length(3000);
    expect(trimPattern('a'.repeat(3000), `#${stars}`, '#')).to.have.length(3000);
  });

  it('of a hundred thousand lines cost what matches', function () {
    this.timeout(60_000);
    const lines = Array.from({ length: 100_000 }, (_, i) => `dir-${i}/file`).join('\n');
    const matcher = new PatternMatcher(parseIgnoreFile(lines));
    let parent = matcher.matchesBelow('dir-5', undefined);
    for (let i = 0; i < 20_000; i++) parent = matcher.matchesBelow(`dir-5/${i}`, parent);
    expect(matcher.matchesBelow('dir-5/file', parent).matched).to.equal(true);
  });
});
