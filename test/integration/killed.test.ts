import { expect } from 'chai';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBaseRootfs } from '../kit/base-image.js';
import { type CommandResult, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { processesWith, tracesOf } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const root = tmpDir();

async function until(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries++) {
    if (tries > 1000) throw new Error('it did not come to that');
    await sleep(20);
  }
}

async function buildBase(): Promise<void> {
  const context = makeContext({
    Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
    '.dockerignore': 'Dockerfile\n.dockerignore\n',
  });
  makeBaseRootfs(context);
  await tsbuildIn(root).must([context, '-t', 'base']);
}

for (const [number, executor] of ['crun', 'runc', 'sandbox'].entries()) {
  describe(`a build on ${executor} that is ended from outside`, function () {
    this.timeout(60_000);
    const tsbuild = tsbuildIn(root, { TSBUILD_EXECUTOR: executor });
    const endless = 70_000 + number;

    before(async function () {
      needs(this, 'root', { program: 'crun' }, { program: 'runc' }, { program: 'busybox' });
      await buildBase();
    });

    /** Builds until the step runs, then lets `end` act on the process. */
    async function build(end: (pid: number) => void | Promise<void>): Promise<CommandResult> {
      const step = `(setsid sleep ${endless} &); mkdir /d; for i in $(seq 500); do echo > /d/$i; done; sleep ${endless}`;
      const context = makeContext({
        Dockerfile: `FROM base\nRUN --mount=type=cache,target=/c ${step}\n`,
      });
      let ending: Promise<void> | undefined;
      const result = await tsbuild.run([context, '--progress=plain'], {
        onStart: (pid) => {
          ending = until(() => processesWith(`sleep ${endless}`).length >= 2).then(() => end(pid));
        },
      });
      await ending;
      return result;
    }

    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      it(`by ${signal} exits 130 within a second and leaves nothing`, async () => {
        let endedAt = 0;
        const { status, stderr } = await build((pid) => {
          endedAt = performance.now();
          process.kill(pid, signal);
        });
        expect(performance.now() - endedAt).to.be.lessThan(process.env['TSBUILD_CI'] ? 2000 : 1000);
        expect(status, stderr).to.equal(130);
        expect(processesWith(`sleep ${endless}`)).to.deep.equal([]);
        expect(tracesOf(root)).to.deep.equal([]);
      });
    }

    it('by a second Ctrl-C leaves nothing either', async () => {
      const { status } = await build((pid) => {
        process.kill(pid, 'SIGINT');
        process.kill(pid, 'SIGTERM');
      });
      expect(status).to.equal(130);
      await until(() => processesWith(`sleep ${endless}`).length === 0);
      expect(tracesOf(root)).to.deep.equal([]);
    });

    it('by kill -9 is cleaned up by the next command, whatever it is', async () => {
      const { status } = await build((pid) => void process.kill(pid, 'SIGKILL'));
      expect(status).to.equal(null);
      expect(processesWith(`sleep ${endless}`)).to.not.deep.equal([]);
      expect(tracesOf(root)).to.not.deep.equal([]);
      await tsbuild.must(['images']);
      expect(processesWith(`sleep ${endless}`)).to.deep.equal([]);
      expect(tracesOf(root)).to.deep.equal([]);
    });
  });
}
