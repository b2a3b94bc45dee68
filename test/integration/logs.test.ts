import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildBase } from '../kit/base-context.js';
import { TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const MIB = 1 << 20;
/** 1024 in the long run. */
const OUTPUT_MIB = Number(process.env['TSBUILD_TEST_OUTPUT_MIB'] ?? 64);

describe('logs of steps', function () {
  this.timeout(300_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    await buildBase(tsbuild);
  });

  /** Builds with a reader of the progress that first sleeps; gives the most memory that the build had. */
  async function peakMib(bytes: number, readerSleepsMs: number): Promise<number> {
    const context = makeContext({
      Dockerfile: `FROM base\nRUN : ${readerSleepsMs}; yes "a line of output with some words, sixty-four bytes in all...." | head -c ${bytes}\n`,
    });
    const child = spawn(TSBUILD, [context, '--progress=plain'], {
      env: { ...process.env, TSBUILD_ROOT: root },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let peak = 0;
    const look = setInterval(() => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    }, 20);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve)).finally(() =>
      clearInterval(look),
    );
    await sleep(readerSleepsMs);
    child.stderr.resume();
    expect(await ended).to.equal(0);
    return peak;
  }

  it('hold every byte, and a slow reader of the progress holds the step up and takes no memory', async () => {
    const before = await peakMib(1000, 0);
    const peak = await peakMib(OUTPUT_MIB * MIB, 3000);
    const sizes = readdirSync(join(root, 'logs')).map((name) => statSync(join(root, 'logs', name)).size);
    expect(sizes).to.include(OUTPUT_MIB * MIB);
    expect(peak - before, `${before} to ${peak} MiB`).to.be.lessThan(40);
  });

  it('are named by a failure, which shows the last lines', async () => {
    const result = await tsbuild.run([
      makeContext({ Dockerfile: 'FROM base\nRUN for i in $(seq 1 50); do echo line-$i; done; exit 3\n' }),
    ]);
    const end = result.stderr.slice(result.stderr.indexOf('------'));
    expect(end)
      .to.contain('line-50\n------\n')
      .and.to.contain('…\nline-31\n')
      .and.to.not.contain('line-30\n');
    const path = /the whole log: (.*)/.exec(end)![1]!;
    expect(readFileSync(path, 'utf8')).to.match(/^line-1\n[\s\S]*line-50\n$/);
  });
});
