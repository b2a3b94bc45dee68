import { expect } from 'chai';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStamp } from '../../src/cache/process-stamp.js';
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

  it('is written after an export that was killed, which leaves nothing', async () => {
    const large = makeContext({ Dockerfile: 'FROM scratch\nCOPY data /\n', data: '' });
    truncateSync(join(large, 'data'), 256 << 20);
    const directory = dirname(dest);
    const halves = () => readdirSync(directory).filter((name) => name.startsWith(`${basename(dest)}.`));
    const child = spawn(TSBUILD, [large, '-o', `type=docker,dest=${dest}`], {
      env: { ...process.env, TSBUILD_ROOT: root },
      stdio: 'ignore',
    });
    while (halves().length === 0 && child.exitCode === null) await sleep(1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(halves()).to.have.length(1);
    await build();
    expect(halves()).to.deep.equal([]);
    expect(execFileSync('tar', ['-xOf', dest, 'manifest.json'], { encoding: 'utf8' })).to.include('archived');
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

  it('removes what a killed export to the same file left, and nothing of others', async () => {
    // Its pid is another process's now.
    const dead = processStamp().replace(/^(\d+)-\d+/, '$1-1');
    const [gone, living, other] = [
      `${dest}.tsbuild-${dead}`,
      `${dest}.tsbuild-${processStamp()}`,
      `${dest}2.tsbuild-${dead}`,
    ];
    for (const type of ['docker', 'tar']) {
      for (const path of [gone, living, other]) writeFileSync(path, 'half');
      await tsbuild.must([context, '-o', `type=${type},dest=${dest}`]);
      expect([gone, living, other].map((path) => existsSync(path))).to.deep.equal([false, true, true]);
    }
    const layout = join(tmpDir(), 'layout');
    mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
    const half = join(layout, 'blobs/sha256', `${'0'.repeat(64)}.tsbuild-${dead}`);
    writeFileSync(half, 'half');
    await tsbuild.must([context, '-o', `type=oci,tar=false,dest=${layout}`]);
    expect(existsSync(half)).to.equal(false);
    expect(existsSync(join(layout, 'index.json'))).to.equal(true);
  });
});

describe('destinations that cannot be', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY data /d/\n', data: 'x' });
  const file = join(tmpDir(), 'file');
  before(() => writeFileSync(file, ''));

  for (const [parent, hint] of [
    ['/proc/nope', 'choose another place: no directory can be made in this one'],
    [file, 'choose a place that is not below a file'],
  ] as const) {
    const below = parent === file ? 'a file' : parent;
    for (const type of ['type=local', 'type=oci,tar=false', 'type=docker', 'type=tar'])
      it(`end ${type} at once in ${below}`, async () => {
        const { status, stderr } = await tsbuild.run([context, '-q', '-o', `${type},dest=${parent}/x/y`]);
        expect(status, stderr).to.equal(1);
        expect(stderr).to.contain('[EXPORT_FAILED').and.contain('hint: ');
        if (type === 'type=local') expect(stderr).to.contain(hint);
      });

    for (const flag of ['--iidfile', '--metadata-file'])
      it(`end ${flag} at once in ${below}`, async () => {
        const { status, stderr } = await tsbuild.run([context, '-q', flag, `${parent}/x/y`]);
        expect(status, stderr).to.equal(1);
        expect(stderr).to.contain('[EXPORT_FAILED').and.contain('hint: ');
      });

    it(`end --cache-to at once in ${below}`, async () => {
      const cache = `type=local,dest=${parent}/x/y,ignore-error=false`;
      const { status, stderr } = await tsbuild.run([context, '-q', '--cache-to', cache]);
      expect(status, stderr).to.equal(3);
      expect(stderr).to.contain('[CACHE_FAILED').and.contain('hint: ');
    });

    it(`end --root at once in ${below}`, async () => {
      const { status, stderr } = await tsbuild.run([context, '-q', '--root', `${parent}/x/y`]);
      expect(status, stderr).to.equal(1);
      expect(stderr).to.contain('[STORE_FAILED').and.contain('hint: ');
    });
  }
});

describe('two outputs of one build', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY data /\n', data: 'x' });

  /** The error's line; empty where the build went well. */
  async function build(cwd: string, ...outputs: string[]): Promise<string> {
    const flags = outputs.flatMap((output) => ['-o', output]);
    const { status, stderr } = await tsbuild.run([context, '-q', ...flags], { cwd });
    expect(status, stderr).to.equal(stderr === '' ? 0 : 2);
    return stderr.split('\n')[0]!;
  }

  it('are refused before anything runs where they would write one file, directory or standard output', async () => {
    const cwd = tmpDir();
    mkdirSync(join(cwd, 'd'));
    const cases = [
      ['type=docker,dest=x.tar', 'type=oci,dest=d/../x.tar', '"d/../x.tar": type=docker and type=oci'],
      ['type=oci,dest=layout,tar=false', 'layout', '"layout": type=oci and type=local'],
      ['same', './same', '"./same": type=local and type=local'],
      ['type=tar', 'type=oci,dest=-', 'standard output: type=tar and type=oci'],
    ] as const;
    for (const [one, other, named] of cases)
      expect(await build(cwd, one, other)).to.equal(`error: two outputs write to ${named}`);
    expect(readdirSync(cwd)).to.deep.equal(['d']);
  });

  it('may write to other places, into each other, and to one device', async () => {
    const cwd = tmpDir();
    expect(
      await build(cwd, 'type=docker,dest=x.tar', 'type=oci,dest=y.tar', 'out', 'type=tar,dest=out/z.tar'),
    ).to.equal('');
    expect(await build(cwd, 'type=docker,dest=/dev/null', 'type=tar,dest=/dev/null')).to.equal('');
    expect(readdirSync(cwd)).to.deep.equal(['out', 'x.tar', 'y.tar']);
  });
});
