import { expect } from 'chai';
import { buildBase } from '../kit/base-context.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { longSleep, processesWith } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('time limits and --keep-going', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    await buildBase(tsbuild);
  });

  const build = (dockerfile: string, ...flags: string[]) =>
    tsbuild.run([makeContext({ Dockerfile: dockerfile }), ...flags]);

  it('--step-timeout ends the step with its daemons, and says where and how far it came', async () => {
    const result = await build(
      `FROM base\nRUN (setsid ${longSleep(1)} &) ; echo one; echo almost there; ${longSleep(1)}\n`,
      '--step-timeout=1s',
    );
    expect(result.status).to.equal(1);
    expect(result.stderr)
      .to.contain('the step took longer than --step-timeout allows (1s); its last line was "almost there"')
      .and.to.contain('in [2/2] RUN (setsid')
      .and.to.contain('>>> RUN (setsid')
      .and.to.contain('[TIMED_OUT, exit status 1');
    expect(processesWith(longSleep(1))).to.deep.equal([]);
  });

  it('--idle-timeout hears a step while another one makes a large file into a layer', async () => {
    const result = await build(
      [
        'FROM base AS large',
        'RUN truncate -s 4G /large',
        'FROM base AS steady',
        'RUN for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do echo $i; sleep 0.5; done',
        'FROM base',
        'COPY --from=steady /etc/passwd /1',
        'COPY --from=large /etc/passwd /2',
        '',
      ].join('\n'),
      '--idle-timeout=2s',
      '-o',
      'type=cacheonly',
    );
    expect(result.status, result.stderr).to.equal(0);
  });

  it('--idle-timeout ends a step that prints nothing, and no step that prints now and then', async () => {
    const steady = 'FROM base\nRUN for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.5; done\n';
    expect((await build(steady, '--idle-timeout=2s')).status).to.equal(0);
    const stuck = await build(`FROM base\nRUN echo asks; ${longSleep(2)}\n`, '--idle-timeout=1s');
    expect(stuck.status).to.equal(1);
    expect(stuck.stderr).to.contain(
      'the step printed nothing for 1s, which --idle-timeout forbids; its last line was "asks"',
    );
  });

  it('--timeout ends the build and names what ran', async () => {
    const result = await build(
      `FROM base\nRUN echo quick\nRUN echo slow; ${longSleep(3)}\nRUN echo never\n`,
      '--timeout=2s',
    );
    expect(result.status).to.equal(1);
    expect(result.stderr)
      .to.contain(
        `the build took longer than --timeout allows (2s) while it ran "[3/4] RUN echo slow; ${longSleep(3)}"`,
      )
      .and.to.contain('its last line was "slow"')
      .and.to.contain('>>> RUN echo slow');
    expect(processesWith(longSleep(3))).to.deep.equal([]);
  });

  it('asks before it kills, so that a step can clean up', async () => {
    const cache = '--mount=type=cache,id=graceful,target=/c';
    const result = await build(
      `FROM base\nRUN ${cache} trap 'echo cleaned > /c/state; exit 1' TERM; echo dirty > /c/state; ${longSleep(4)} & wait\n`,
      '--step-timeout=1s',
    );
    expect(result.stderr).to.contain('[TIMED_OUT');
    expect((await build(`FROM base\nRUN ${cache} cat /c/state\n`)).stderr).to.contain('cleaned');
  });

  it('kills what does not listen', async () => {
    const result = await build(
      "FROM base\nRUN trap '' TERM; while :; do sleep 1; done\n",
      '--step-timeout=1s',
    );
    expect(result.stderr).to.contain('[TIMED_OUT');
    expect(result.elapsedMs).to.be.lessThan(20_000);
  });

  for (const [flag, value] of [
    ['--timeout', 'soon'],
    ['--step-timeout', '0'],
    ['--idle-timeout', '-5s'],
  ] as const) {
    it(`${flag}=${value} is refused`, async () => {
      const result = await build('FROM base\n', `${flag}=${value}`);
      expect(result.status).to.equal(2);
      expect(result.stderr).to.contain(`${flag} "${value}" is not a duration`);
    });
  }

  const STAGES = [
    'FROM base AS bad',
    'RUN sleep 0.5; exit 3',
    'FROM base AS good',
    'RUN sleep 2; echo made > /good',
    'FROM base AS worse',
    'COPY --from=bad /bin/sh /never',
    'FROM base AS missing',
    'RUN exit 4',
    'FROM base',
    'COPY --from=good /good /good',
    'COPY --from=worse /never /never',
    'COPY --from=missing /never /never',
    '',
  ].join('\n');

  it('--keep-going finishes and caches what does not depend on a failure, and lists every failure', async () => {
    const result = await build(STAGES, '--keep-going');
    expect(result.status).to.equal(1);
    expect(result.stderr)
      .to.contain('exit code: 3')
      .and.to.contain('exit code: 4')
      .and.to.contain('>>> RUN sleep 0.5; exit 3')
      .and.to.contain('>>> RUN exit 4')
      .and.to.contain('error: 2 steps failed')
      .and.to.contain('[STEPS_FAILED, exit status 1');
    expect((await build(STAGES, '--target=good')).stderr).to.match(
      /RUN sleep 2; echo made > \/good\n#\d+ CACHED/,
    );
  });

  it('without it the first failure ends the others', async () => {
    const result = await build(STAGES.replaceAll('made', 'never made'));
    expect(result.stderr).to.not.contain('steps failed');
    expect(result.stderr)
      .to.contain('CANCELED')
      .and.to.match(/exit code: [34]/);
  });

  it('--keep-going runs other stages where the files of a COPY are not there', async () => {
    const result = await build(
      'FROM base AS a\nCOPY nothing /\nFROM base AS b\nRUN echo b > /b && echo built-b\nFROM base\nCOPY --from=a /x /\nCOPY --from=b /b /\n',
      '--keep-going',
    );
    expect(result.status).to.equal(1);
    expect(result.stderr)
      .to.match(/\d built-b\n/)
      .and.to.contain('COPY_SOURCE_NOT_FOUND')
      .and.to.contain('>>> COPY nothing /');
  });
});
