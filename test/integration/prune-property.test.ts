import { expect } from 'chai';
import { join } from 'node:path';
import type { DiskUsage } from '../../src/disk.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { runAsStoreOwner } from '../kit/store-owner.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** By hand: RUNS=200 npx mocha test/integration/prune-property.test.ts */
const RUNS = Number(process.env['RUNS'] ?? 3);

const FILES = Array.from({ length: 6 }, (_, i) => `f${i}`);
const context = makeContext(
  Object.fromEntries(FILES.map((name, i) => [name, Buffer.alloc((i + 1) * 200_000, name)])),
);

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)]!;
}

/** Few different steps, so that builds share layers; every one writes the same bytes each time. */
function randomDockerfile(): string {
  const step = () => {
    const file = pick(FILES);
    return pick([
      `COPY ${file} /${file}`,
      `RUN cat /etc/passwd /etc/group > /${file}.run`,
      `RUN --mount=type=cache,id=${file},target=/c touch /c/x && echo ${file} > /cached`,
      `RUN rm -rf /etc/profile && sleep 0.1`,
      `WORKDIR /${file}.d`,
    ]);
  };
  const steps = () => Array.from({ length: 1 + Math.floor(Math.random() * 4) }, step);
  return ['FROM base AS first', ...steps(), 'FROM base', ...steps(), 'COPY --from=first /etc /first'].join(
    '\n',
  );
}

function store(root: string) {
  const tsbuild = tsbuildIn(root);
  return {
    ...tsbuild,
    root,
    /** The image ID; with SOURCE_DATE_EPOCH it depends on the files alone. */
    build: async (text: string, tag: string) => {
      const flags = ['-q', '-t', tag, '--build-arg', 'SOURCE_DATE_EPOCH=1000000000'];
      return (await tsbuild.must(['build', context, '-f', '-', ...flags], { input: text })).stdout;
    },
  };
}

describe('prune between and beside random builds', function () {
  this.timeout(RUNS * 60_000);
  const pruned = store(tmpDir());
  const whole = store(tmpDir());

  before(async function () {
    needs(this, 'builder', { program: 'crun' });
    const baseTar = join(tmpDir(), 'base.tar');
    await mustRun('tar', ['-C', makeBaseRootfs(), '-cf', baseTar, '.']);
    await pruned.must(['import', baseTar, 'base']);
    // The same base, with its time.
    runAsStoreOwner('cp', ['-a', `${pruned.root}/.`, whole.root]);
  });

  it(`changes no image, and leaves a store that is accounted within 2 percent, in ${RUNS} runs`, async () => {
    for (let run = 0; run < RUNS; run++) {
      const text = randomDockerfile();
      const tag = `app${run % 3}`;
      const expected = await whole.build(text, tag);
      const note = `run ${run}:\n${text}`;
      expect(await pruned.build(text, tag), note).to.equal(expected);
      const limit = Math.floor(Math.random() * 20e6);
      const flags = pick([
        [],
        ['--all'],
        ['--max-used-space', String(limit)],
        ['--filter', 'type=layer', '--all'],
      ]);
      await pruned.must(['prune', '-f', ...flags]);
      const { stdout } = await pruned.must(['du', '--format', 'json']);
      const { totalBytes } = JSON.parse(stdout) as DiskUsage;
      const real = Number(runAsStoreOwner('du', ['-s', '-B1', pruned.root]).split('\t')[0]);
      expect(Math.abs(totalBytes - real) / real, note).to.be.below(0.02);
      expect(await pruned.build(text, tag), note).to.equal(expected);
    }
    expect((await pruned.run(['doctor', '--store'])).stdout).to.match(/^ok/);
  });

  it(`breaks no build that runs at the same time, in ${RUNS} runs`, async () => {
    for (let run = 0; run < RUNS; run++) {
      const texts = [randomDockerfile(), randomDockerfile()];
      const expected = [await whole.build(texts[0]!, 'a'), await whole.build(texts[1]!, 'b')];
      let building = true;
      const prunes = async () => {
        while (building) await pruned.must(['prune', '--all', '-f']);
      };
      const builds = Promise.all([pruned.build(texts[0]!, 'a'), pruned.build(texts[1]!, 'b')]).finally(
        () => (building = false),
      );
      const [ids] = await Promise.all([builds, prunes()]);
      expect(ids, texts.join('\n---\n')).to.deep.equal(expected);
    }
    expect((await pruned.run(['doctor', '--store'])).stdout).to.match(/^ok/);
  });
});
