import { expect } from 'chai';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('tsbuild run with the flags of docker run', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });

  const output = async (script: string, ...flags: string[]) =>
    (await tsbuild.must(['run', '--rm', ...flags, 'base', 'sh', '-c', script])).stdout;

  it('limits memory, and says that it was the reason', async function () {
    needs(this, 'root');
    const fill = 'dd bs=200M count=1 if=/dev/zero of=/dev/null';
    const result = await tsbuild.run(['run', '--memory=64m', 'base', 'sh', '-c', fill]);
    expect(result.status).to.equal(137);
    expect(result.stderr).to.match(/out of memory: the build's limit is 64 MiB, its peak was 6\d/);
  });

  it('limits processes and files', async function () {
    needs(this, 'root');
    const many = 'i=0; while [ $i -lt 30 ]; do sleep 2 & i=$((i+1)); done; echo all';
    expect((await tsbuild.run(['run', '--pids-limit=10', 'base', 'sh', '-c', many])).stdout).to.equal('');
    expect(await output(many)).to.equal('all\n');
    expect(await output('ulimit -n', '--ulimit', 'nofile=77:77')).to.equal('77\n');
  });

  it('shares one CPU as --cpu-shares says', async function () {
    needs(this, 'root');
    const dir = tmpDir();
    // Both at the same time, also where one container starts seconds after the other.
    const startSec = Math.ceil(Date.now() / 1000) + 3;
    const spin = (name: string) =>
      `while [ $(($(date +%s))) -lt ${startSec} ]; do sleep 0.1; done; i=0; while [ $(($(date +%s))) -lt ${startSec + 4} ]; do j=0; while [ $j -lt 2000 ]; do j=$((j+1)); done; i=$((i+1)); done; echo $i > /out/${name}`;
    mkdirSync(join(dir, 'out'));
    const run = (name: string, shares: number) =>
      output(spin(name), `--cpu-shares=${shares}`, '--cpuset-cpus=0', '-v', `${join(dir, 'out')}:/out`);
    await Promise.all([run('small', 20), run('large', 80)]);
    const count = (name: string) => Number(readFileSync(join(dir, 'out', name), 'utf8'));
    expect(count('large') / count('small')).to.be.within(2, 8);
  });

  it('keeps files from being written to, and shows those of the host', async () => {
    const dir = tmpDir();
    writeFileSync(join(dir, 'f'), 'of the host\n');
    const script = 'cat /v/f; (echo x > /v/g) 2>/dev/null || echo no; (echo x > /x) 2>/dev/null || echo no';
    expect(await output(script, '--read-only', '-v', `${dir}:/v:ro`)).to.equal('of the host\nno\nno\n');
  });

  it('changes capabilities', async () => {
    const show = "grep CapEff /proc/self/status | tr -d '\\t '";
    expect(await output(show, '--cap-drop=ALL')).to.equal('CapEff:0000000000000000\n');
    expect(await output(show, '--cap-drop=ALL', '--cap-add=chown')).to.equal('CapEff:0000000000000001\n');
    expect((await tsbuild.run(['run', '--cap-add=fly', 'base', 'true'])).status).to.equal(2);
  });

  it('names hosts', async () => {
    const flags = ['--hostname=box', '--add-host=db:10.0.0.7', '--network=none', '--shm-size=1m'];
    const script = "hostname; grep db /etc/hosts; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    expect(await output(script, ...flags)).to.equal('box\n10.0.0.7\tdb\n1024\n');
  });
});
