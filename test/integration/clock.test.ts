import { expect } from 'chai';
import { readFileSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBaseRootfs } from '../kit/base-image.js';
import { PROJECT, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { Random } from '../kit/random-build.js';
import { tmpDir } from '../kit/tmp-dir.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const HOUR = 3600;
const YEAR = 365 * 24 * HOUR;
const JUMPS = [-20 * YEAR, -HOUR, -3, 0, 3, HOUR, 20 * YEAR];

describe(`a clock that jumps (SEED=${SEED})`, function () {
  this.timeout(120_000);
  const root = tmpDir();
  const random = new Random(SEED);
  const offset = join(tmpDir(), 'offset');
  const tsbuild = tsbuildIn(root, {
    CLOCK_OFFSET_FILE: offset,
    NODE_OPTIONS: `--require=${join(PROJECT, 'test/fixtures/jumping-clock.cjs')}`,
  });

  /** Whole or not at all: a process may be reading it. */
  function jumpTo(seconds: number): void {
    writeFileSync(`${offset}.new`, String(seconds));
    renameSync(`${offset}.new`, offset);
  }

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    jumpTo(0);
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n', '.dockerignore': 'Dockerfile\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });

  /** What the image holds, and how many steps ran. */
  async function build(context: string, file = 'out'): Promise<{ text: string; ran: number }> {
    const dest = tmpDir();
    const { stderr } = await tsbuild.must([context, '--progress=plain', '-o', dest]);
    const names = new Map(
      [...stderr.matchAll(/^#(\d+) \[(?!internal)(.*)$/gm)].map(([, id, name]) => [id, name]),
    );
    const ran = [...stderr.matchAll(/^#(\d+) DONE/gm)].filter(([, id]) => names.has(id)).length;
    return { text: readFileSync(join(dest, file), 'utf8'), ran };
  }

  /** Other bytes of the same size, with the times that a program can set. */
  function disguise(path: string, text: string): void {
    const { atime, mtime } = statSync(path);
    writeFileSync(path, text);
    utimesSync(path, atime, mtime);
  }

  it('between builds gives no wrong hit, and loses none', async () => {
    const context = makeContext({
      Dockerfile: 'FROM base\nCOPY in /in\nRUN cat /in > /out\n',
      in: 'text 0\n',
    });
    let text = 'text 0\n';
    for (let i = 1; i <= 12; i++) {
      const jump = random.pick(JUMPS);
      jumpTo(jump);
      const what = `SEED=${SEED}, build ${i}, clock off by ${jump} s`;
      const isNew = i === 1 || random.chance(50);
      if (isNew) {
        text = `text ${i % 10}\n`;
        disguise(join(context, 'in'), text);
      }
      const before = await build(context);
      expect(before.text, what).to.equal(text);
      if (!isNew) expect(before.ran, what).to.equal(0);
      jumpTo(random.pick(JUMPS));
      expect(await build(context), `${what}, again`).to.deep.equal({ text, ran: 0 });
    }
  });

  for (const jump of [-HOUR, HOUR])
    it(`by ${jump} s during a build gives the right image, and the next build finds it`, async () => {
      jumpTo(0);
      const context = makeContext({
        Dockerfile: `FROM base\nCOPY in /in\nRUN : ${jump} && sleep 1 && cat /in > /out\nCOPY late /late\nRUN cat /late >> /out\n`,
        in: 'one\n',
        late: 'late\n',
      });
      const first = build(context);
      await sleep(900);
      jumpTo(jump);
      expect((await first).text).to.equal('one\nlate\n');
      expect(await build(context)).to.deep.equal({ text: 'one\nlate\n', ran: 0 });
      const late = `${jump}\n`;
      disguise(join(context, 'late'), late);
      expect(await build(context)).to.deep.equal({ text: `one\n${late}`, ran: 2 });
      jumpTo(0);
      disguise(join(context, 'in'), 'ONE\n');
      expect((await build(context)).text).to.equal(`ONE\n${late}`);
    });

  for (const jump of [-YEAR, YEAR])
    it(`by ${jump} s lets prune take nothing that a running build needs`, async () => {
      jumpTo(0);
      const context = makeContext({
        Dockerfile: `FROM base\nCOPY in /in\nRUN --mount=type=cache,target=/c : ${jump} && sleep 2 && cat /in > /out\nRUN cat /in >> /out\n`,
        in: 'one\n',
      });
      const building = build(context);
      await sleep(1200);
      jumpTo(jump);
      for (let i = 0; i < 3; i++) await tsbuild.must(['prune', '--all', '-f']);
      jumpTo(0);
      await tsbuild.must(['prune', '-f']);
      expect((await building).text).to.equal('one\none\n');
      const { stdout } = await tsbuild.must(['doctor', '--store']);
      expect(stdout).to.not.match(/set aside/);
    });
});
