import { expect } from 'chai';
import { convertText } from './convert-text.js';

/** Names, values and lines as BuildKit's outline of the same Dockerfile has them. */
const CASES: readonly [what: string, text: string, args: readonly string[]][] = [
  [
    'the last of several ARGs before the first FROM, and what the earlier ones use',
    'ARG A=1\nARG U=7\nARG A=${A}${U}2\nARG A=${A}3\nFROM scratch\nARG A\n',
    ['U=7 line 2', 'A=1723 line 4'],
  ],
  ['the last ARG of a stage', 'FROM scratch\nARG B=1\nARG B=2\n', ['B=2 line 3']],
  [
    'the ARG of the stage that is built, not one of a stage that it copies from',
    'FROM scratch AS a\nARG Y=2\nFROM scratch\nARG Y=3\nCOPY --from=a / /\n',
    ['Y=3 line 4'],
  ],
  [
    'a default of a stage in the place of the one before the first FROM',
    'ARG X=0\nFROM scratch AS a\nARG X\nFROM a\nARG X=2\n',
    ['X=2 line 5'],
  ],
];

describe('outline: of several ARGs with a name it shows', () => {
  for (const [what, text, args] of CASES) {
    it(what, async () => {
      const { outline } = await convertText(text);
      const shown = outline.args.map((arg) => `${arg.name}=${arg.value} line ${arg.location.startLine}`);
      expect(shown).to.deep.equal(args);
    });
  }
});
