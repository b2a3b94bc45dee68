import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Writing an archive where one is: its inode tells whether it was written again. */
describe('a docker archive that is exported again', function () {
  this.timeout(60_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);
  const dest = join(tmpDir(), 'out.tar');
  const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY data /\n', data: 'x'.repeat(100_000) });
  const inode = () => statSync(dest, { bigint: true }).ino;
  const build = (...more: string[]) =>
    tsbuild.must([context, '-t', 'archived', '-o', `type=docker,dest=${dest}`, ...more]);

  beforeEach(() => build());

  it('stays as it is when nothing changed', async () => {
    const before = inode();
    await build();
    expect(inode()).to.equal(before);
  });

  it('is written when somebody touched it, and when somebody wrote to it', async () => {
    for (const change of [
      () => utimesSync(dest, 1, 1),
      () => {
        const { atime, mtime } = statSync(dest);
        writeFileSync(dest, Buffer.alloc(statSync(dest).size));
        utimesSync(dest, atime, mtime);
      },
    ]) {
      change();
      const before = inode();
      await build();
      expect(inode()).not.to.equal(before);
      expect(execFileSync('tar', ['-tf', dest], { encoding: 'utf8' })).to.include('manifest.json');
    }
  });

  it('is written when it gets another name', async () => {
    const before = inode();
    await build('-t', 'renamed');
    expect(inode()).not.to.equal(before);
    const manifest = execFileSync('tar', ['-xOf', dest, 'manifest.json'], { encoding: 'utf8' });
    expect(manifest).to.include('renamed:latest');
  });

  it('goes through a pipe that has a name', async () => {
    const pipe = join(tmpDir(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const copy = `${pipe}.tar`;
    const script = `cat ${pipe} > ${copy} & ${TSBUILD} ${context} -t archived -o type=docker,dest=${pipe} && wait`;
    const { status, stderr } = await runCommand('sh', ['-c', script], { env: { TSBUILD_ROOT: root } });
    expect(status, stderr).to.equal(0);
    expect(readFileSync(copy).equals(readFileSync(dest))).to.equal(true);
    expect(statSync(pipe).isFIFO()).to.equal(true);
  });
});
