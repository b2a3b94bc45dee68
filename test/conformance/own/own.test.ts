import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tsbuildIn } from '../../kit/cli.js';
import { differences } from '../../kit/image-tree.js';
import { needs } from '../../kit/needs.js';
import { tmpDir } from '../../kit/tmp-dir.js';
import { describeImage, describeTree, readArchive, withoutTime } from './archive.js';
import { type BuiltImage, keyOf, optionsOf, type OwnCase, type Recorded, type Result } from './case.js';
import { OWN_CASES } from './cases.js';
import { KNOWN_DIFFERENCES } from './known.js';
import { makeBaseContext, makeCaseContext } from './setup.js';

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'recorded.json'), 'utf8')) as Recorded;

/** Each case gives the files, config and history that a real BuildKit gave; record.ts wrote what is compared with. */
describe('own conformance cases', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  const baseArchive = join(tmpDir(), 'base.tar');

  before(async function () {
    if (process.arch !== 'x64') this.skip();
    needs(this, 'root', { program: 'busybox' }, { program: 'crun' });
    const output = ['-o', `type=docker,dest=${baseArchive}`, '-o', 'type=image'];
    await tsbuild.must(['build', makeBaseContext(), '-t', 'base', ...output]);
  });

  it('has a record for every case that the recorded builder can judge, and no other', () => {
    const judged = OWN_CASES.filter((ownCase) => ownCase.newer === undefined);
    expect(judged.map(keyOf).sort()).to.deep.equal(Object.keys(recorded.cases).sort());
  });

  for (const ownCase of OWN_CASES) {
    it(keyOf(ownCase), async () => {
      if (ownCase.newer !== undefined) {
        const fails = ownCase.expect === 'fails';
        return expect(await build(ownCase, fails)).to.have.property(fails ? 'fails' : 'tree');
      }
      const theirs = recorded.cases[keyOf(ownCase)]!;
      const ours = await build(ownCase, 'fails' in theirs);
      if ('fails' in theirs || 'fails' in ours) return expect(ours).to.deep.equal(theirs);
      const found = differences(lines(comparable(ours, theirs)), lines(theirs)).filter(
        (line) => !KNOWN_DIFFERENCES.some(({ pattern }) => pattern.test(line)),
      );
      expect(found, 'tsbuild <> BuildKit').to.deep.equal([]);
    });
  }

  /** With a line for each entry of the history. */
  const lines = (image: BuiltImage) => ({ ...image, history: { ...image.history } });

  async function build(ownCase: OwnCase, mayFail: boolean): Promise<Result> {
    const archive = join(tmpDir(), 'image.tar');
    const options = [
      ...optionsOf(ownCase),
      '--secret-scan=off',
      '-t',
      'own',
      '-o',
      `type=docker,dest=${archive}`,
    ];
    const { status, stderr } = await tsbuild.run(['build', '.', ...options], {
      cwd: makeCaseContext(ownCase),
      env: { ...ownCase.env },
    });
    if (status === 0) return describeImage(readArchive(archive), readArchive(baseArchive));
    expect(stderr).not.to.match(/^\s+at .*:\d+:\d+/m);
    if (!mayFail) throw new Error(stderr);
    return { fails: true };
  }

  /** Without the times that are not in the record; a directory of the base may differ from it in its time alone. */
  function comparable(image: BuiltImage, record: BuiltImage): BuiltImage {
    const before = describeTree(readArchive(baseArchive).tree);
    const tree = { ...image.tree };
    for (const [path, line] of Object.entries(record.tree)) {
      if (line === null || line.includes(' @')) continue;
      tree[path] ??= before[path] ?? null;
      tree[path] = withoutTime(tree[path]);
    }
    return { ...image, tree };
  }
});
