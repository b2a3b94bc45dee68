import { expect } from 'chai';
import { availableParallelism } from 'node:os';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { controlGroupsOf } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Takes so many MiB of memory. */
const fill = (mebibytes: number) => `dd bs=${mebibytes}M count=1 if=/dev/zero of=/dev/null`;

/** The same, held until most of the other steps hold theirs, or for so many seconds. */
const hold = (mebibytes: number, seconds: number) =>
  `dd bs=1M count=${mebibytes} if=/dev/zero of=/dev/shm/f && touch /c/$$-$(date +%N) && for i in $(seq ${seconds}); do [ $(ls /c | wc -l) -gt 5 ] || sleep 1; done`;

describe('limits of RUN', function () {
  this.timeout(120_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);
  const commands = [tsbuild];
  const groups = () => commands.flatMap(({ pids }) => controlGroupsOf(pids));
  afterEach(() => expect(groups()).to.deep.equal([]));

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'runc' }, { program: 'busybox' });
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });
  const step = (script: string) => makeContext({ Dockerfile: `FROM base\nRUN ${script}\n` });

  for (const executor of ['crun', 'runc', 'sandbox']) {
    describe(`with ${executor}`, () => {
      const tsbuild = tsbuildIn(root, { TSBUILD_EXECUTOR: executor });
      commands.push(tsbuild);
      const outputOf = async (script: string, ...options: string[]) => {
        const args = [step(script), '--no-cache', '--progress=plain', ...options];
        return (await tsbuild.must(args)).stderr;
      };

      it('memory: reports an OOM kill with the limit and the peak', async () => {
        const result = await tsbuild.run([step(`${fill(200)}`), '--resource', 'memory=64m']);
        expect(result.status).to.equal(1);
        expect(result.stderr)
          .to.contain('[OUT_OF_MEMORY')
          .and.to.match(/out of memory: the step's limit is 64 MiB, its peak was 6\d(\.\d)? MiB/);
      });

      it('memory: lets a step live that stays below', async () => {
        await outputOf(fill(20), '--resource', 'memory=64m');
      });

      it('pids: a fork bomb ends at the limit', async () => {
        const bomb = 'i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo survived';
        const result = await tsbuild.run([
          step(bomb),
          '--no-cache',
          '--progress=plain',
          '--resource',
          'pids=20',
        ]);
        expect(result.stderr).to.match(/can't fork|Resource temporarily unavailable/);
        expect(await outputOf(bomb)).to.contain('survived');
      });

      it('cpus: takes so much time and no more', async () => {
        const spin =
          'end=$(($(date +%s)+3)); while [ $(date +%s) -lt $end ]; do :; done; cat /proc/self/stat > /dev/null; times | tail -1; times | head -1';
        const output = await outputOf(spin, '--resource', 'cpus=0.2');
        const seconds = [...output.matchAll(/(\d+)m([\d.]+)s/g)].map(
          ([, m, s]) => Number(m) * 60 + Number(s),
        );
        expect(seconds.reduce((sum, value) => sum + value, 0)).to.be.lessThan(1.5);
      });

      it('cpuset: runs on these CPUs only', async function () {
        if (availableParallelism() < 2) this.skip();
        expect(
          await outputOf('grep Cpus_allowed_list /proc/self/status', '--resource', 'cpuset-cpus=1'),
        ).to.match(/Cpus_allowed_list:\s+1\n/);
      });
    });
  }

  it('says which value the kernel does not take', async () => {
    const result = await tsbuild.run([step('true'), '--resource', 'cpuset-cpus=999']);
    expect(result.status).to.equal(2);
    expect(result.stderr).to.contain('the kernel does not take 999 for cpuset.cpus');
  });

  it('a build of 8 stages ends without an OOM kill where half of them fit into its memory', async () => {
    const context = (id: string, seconds: number) => {
      const stages = Array.from(
        { length: 8 },
        (_, i) =>
          `FROM base AS s${i}\nRUN --mount=type=cache,target=/c,id=${id} ${hold(96, seconds)} && echo ${i} > /${i}\n`,
      );
      const copies = stages.map((_, i) => `COPY --from=s${i} /${i} /\n`);
      return makeContext({ Dockerfile: `${stages.join('')}FROM base\n${copies.join('')}` });
    };
    const limits = ['--resource', 'scope=build,memory=512m,memory-swap=512m', '--shm-size=128m'];
    const options = [...limits, '--jobs', '8', '--no-cache', '--progress=plain'];
    const unplanned = await tsbuild.run([context('unplanned', 60), ...options]);
    expect(unplanned.stderr).to.contain('OUT_OF_MEMORY').and.to.contain("the build's limit is 512 MiB");
    const planned = await tsbuild.must([context('planned', 5), ...options, '--resource', 'memory=128m']);
    expect(planned.stderr).to.contain('waiting for memory: this step may use 128 MiB');
  });

  it('nothing stays of a build that was killed', async () => {
    let pid = 0;
    const args = [step('sleep 60'), '--no-cache', '--resource', 'pids=50'];
    const killed = tsbuild.run(args, { onStart: (started) => (pid = started) });
    while (groups().length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(pid, 'SIGKILL');
    await killed;
    expect(groups()).to.not.deep.equal([]);
    await tsbuild.must([step('true'), '--no-cache']);
  });
});
