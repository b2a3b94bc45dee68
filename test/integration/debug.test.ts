import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openPty } from '../../src/worker/sys/pty.js';
import { buildBase } from '../kit/base-context.js';
import { TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { filesThatTell } from '../kit/leaks.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('tsbuild debug', function () {
  this.timeout(60_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    await buildBase(tsbuild);
  });

  /** Builds what must fail, and gives the name that its last line tells. */
  async function failedId(dockerfile: string, ...flags: string[]): Promise<string> {
    const context = makeContext({ Dockerfile: `FROM base\n${dockerfile}\n`, data: 'from the context\n' });
    const result = await tsbuild.run([context, ...flags]);
    expect(result.status, result.stderr).to.equal(1);
    const id = /tsbuild debug ([0-9a-f]{8})\n$/.exec(result.stderr)?.[1];
    expect(id, result.stderr).to.be.a('string');
    return id!;
  }

  it('runs a command where the step failed: its files, variables, directory, user and mounts', async () => {
    const mounts = '--mount=type=cache,id=dbg,target=/c --mount=type=tmpfs,target=/t --mount=target=/ctx';
    const id = await failedId(
      `ENV COLOR=red\nARG SHAPE=round\nWORKDIR /w\nRUN chown 1000 /w && rm /etc/profile\nUSER app\nRUN ${mounts} echo half > made; exit 3`,
    );
    const script =
      'echo $COLOR $SHAPE $PWD $(id -un); cat made /ctx/data; ls -d /c /t; test -e /etc/profile || echo gone; exit 5';
    const result = await tsbuild.run(['debug', id, '--', 'sh', '-c', script]);
    expect(result.stdout, result.stderr).to.equal('red round /w app\nhalf\nfrom the context\n/c\n/t\ngone\n');
    expect(result.status).to.equal(5);
  });

  it('keeps the files as they were, whatever one does there', async () => {
    const id = await failedId('RUN echo one > /made; exit 3 # kept');
    await tsbuild.must(['debug', id.slice(0, 6), '--', 'sh', '-c', 'echo two > /made; rm -r /home']);
    const again = await tsbuild.must(['debug', id, '--', 'sh', '-c', 'cat /made; ls -d /home']);
    expect(again.stdout).to.equal('one\n/home\n');
  });

  it('reads standard input without a terminal, and is a shell with job control on one', async () => {
    const id = await failedId('RUN echo one > /made; exit 3 # shell');
    expect((await tsbuild.must(['debug', id], { input: 'cat /made\n' })).stdout).to.equal('one\n');
    using pty = openPty({ columns: 90, rows: 30 });
    const end = pty.programEnd;
    const env = { ...process.env, TSBUILD_ROOT: root };
    const shell = spawn('setsid', ['--ctty', TSBUILD, 'debug', id], { stdio: [end, end, end], env });
    pty.closeProgramEnd();
    let shown = '';
    pty.stream.on('data', (data: Buffer) => {
      if (!/[#$] /.test(shown) && /[#$] /.test(shown + data.toString()))
        pty.stream.write('tty; cat /made; exit 6\n');
      shown += data.toString();
    });
    const [[status]] = (await Promise.all([once(shell, 'exit'), pty.ended])) as [[number], void];
    expect(shown)
      .to.contain('/dev/')
      .and.to.match(/\none\r?\n/);
    expect(status).to.equal(6);
  });

  it('lists what is kept, the last three, and says when there is no such step', async () => {
    for (const step of ['a', 'b', 'c', 'd']) await failedId(`RUN : ${step}; exit 3`);
    const { stdout } = await tsbuild.must(['debug']);
    expect(stdout).to.match(/^ID +FAILED \(UTC\) +STEP\n/);
    expect([...stdout.matchAll(/RUN : (\w)/g)].map((match) => match[1])).to.deep.equal(['d', 'c', 'b']);
    expect(readdirSync(join(root, 'failed'))).to.have.length(3);
    const none = await tsbuild.run(['debug', 'ffffffff', '--', 'true']);
    expect(none.status).to.equal(2);
    expect(none.stderr).to.contain('no failed step is kept with "ffffffff"').and.to.contain('kept are ');
  });

  it('has the secrets again, or a word that they are gone, and keeps no file with one', async () => {
    const file = join(tmpDir(), 'token');
    writeFileSync(file, 'tok-debug-5e7a21-value');
    const mount = '--mount=type=secret,id=token,required';
    const id = await failedId(
      `RUN ${mount} cp /run/secrets/token /leak; echo > /other; exit 3`,
      '--secret',
      `id=token,src=${file}`,
    );
    const look = ['debug', id, '--', 'sh', '-c', 'cat /run/secrets/token; ls /leak /other 2>/dev/null'];
    expect((await tsbuild.run(look)).stdout).to.equal('tok-debug-5e7a21-value/other\n');
    expect(filesThatTell(root, 'tok-debug-5e7a21-value')).to.deep.equal([]);
    rmSync(file);
    const without = await tsbuild.run(look);
    expect(without.stdout).to.equal('/other\n');
    expect(without.stderr).to.contain('secret "token"').and.to.contain('it is left out');
  });

  it('--on-fail-export copies a report out, and says when there is none', async () => {
    const out = tmpDir();
    const context = makeContext({ Dockerfile: 'FROM base\nRUN mkdir /r && echo bad > /r/report; exit 3\n' });
    const flags = [`--on-fail-export=/r=${out}/r`, `--on-fail-export=r/none=${out}/none`];
    const { stderr } = await tsbuild.run([context, ...flags]);
    expect(readFileSync(join(out, 'r/report'), 'utf8')).to.equal('bad\n');
    expect(stderr)
      .to.contain(`copied "/r" of the failed step to ${out}/r`)
      .and.to.contain('the step left no "/r/none"');
    expect((await tsbuild.run([context, '--on-fail-export=/r'])).status).to.equal(2);
  });

  it('keeps nothing of a step that was interrupted, or ended because of another one', async () => {
    rmSync(join(root, 'failed'), { recursive: true, force: true });
    const context = makeContext({ Dockerfile: 'FROM base\nRUN echo started; sleep 100\n' });
    const result = await tsbuild.run([context], {
      onStart: (pid) => setTimeout(() => process.kill(pid, 'SIGINT'), 1500),
    });
    expect(result.status).to.equal(130);
    expect(existsSync(join(root, 'failed'))).to.equal(false);
  });
});
