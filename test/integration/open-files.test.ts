import { expect } from 'chai';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildBase } from '../kit/base-context.js';
import { runCommand, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { networkTraces, processesWith, until } from '../kit/machine-state.js';
import { isRoot, needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const STAGES = ['a', 'b', 'c'];
const FEWEST = 18;
const MOST = 46;

describe('a limit of open files', () => {
  const root = tmpDir();

  before(async function () {
    needs(this, 'mounts');
    await buildBase(tsbuildIn(root));
  });

  it('that is too low for a build ends it with the way out, and leaves nothing', async function () {
    this.timeout(180_000);
    const context = makeContext({
      Dockerfile: [
        ...STAGES.map((name) => `FROM base AS ${name}\nARG N\nRUN echo $N > /${name}`),
        ...['FROM base', ...STAGES.map((name) => `COPY --from=${name} /${name} /`)],
      ].join('\n'),
    });
    const built: number[] = [];
    for (let limit = FEWEST; limit <= MOST; limit++) {
      const args = [context, '-t', 'few', '--jobs=3', `--build-arg=N=${limit}`, '--root', root];
      const { status, stderr } = await runCommand(
        'sh',
        ['-c', `ulimit -n ${limit}; exec "$@"`, 'sh', TSBUILD, ...args],
        {},
      );
      if (status === 0) built.push(limit);
      else {
        expect(stderr, `with ${limit}`).to.match(/^error: .*EMFILE/m);
        expect(stderr).to.match(/\[(TOO_MANY_OPEN_FILES|STORE_FAILED), exit status 1;/);
      }
      expect(readdirSync(join(root, 'work')), `with ${limit}`).to.deep.equal([]);
      expect(processesWith(root)).to.deep.equal([]);
    }
    // Of all networks of the machine: somebody else's build may just have been killed.
    if (isRoot()) await until(() => networkTraces().length === 0);
    expect(built).to.include(MOST).and.not.include(FEWEST);
  });
});
