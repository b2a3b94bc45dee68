import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** By hand: FAULTS=200 npx mocha test/integration/disk-full.test.ts */
const FAULTS = Number(process.env['FAULTS'] ?? (process.env['TSBUILD_CI'] ? 20 : 5));
const DISK_BYTES = 200 << 20;

const dir = tmpDir();
const disk = join(dir, 'disk');
const root = join(disk, 'store');
const filler = join(disk, 'filler');
const tsbuild = tsbuildIn(root);

const DOCKERFILE = [
  'FROM base AS made',
  'COPY big /big',
  'RUN cat /big /big > /twice && echo made > /made',
  'RUN --mount=type=cache,target=/c cat /big > /c/kept && cp /c/kept /copy',
  'FROM base',
  'COPY --from=made /twice /copy /data/',
  'RUN cat /data/copy > /last',
].join('\n');

/** A context whose every step is new; `digest` is what its image must hold. */
function newContext(): { context: string; big: Buffer } {
  const big = randomBytes(8 << 20);
  return { context: makeContext({ Dockerfile: DOCKERFILE, big }), big };
}

/** Takes all of the disk but `freeBytes`. */
function fill(freeBytes: number): void {
  rmSync(filler, { force: true });
  const { bavail, bsize } = statfsSync(disk);
  const bytes = bavail * bsize - freeBytes;
  if (bytes > 0) execFileSync('fallocate', ['-l', String(bytes), filler]);
}

function filesLeft(): string[] {
  const directories = ['work', 'trash', 'leases', 'content/ingest', 'locks'];
  const left = directories.flatMap((name) => readdirSync(join(root, name)).map((file) => `${name}/${file}`));
  const halves = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return [...left, ...halves.filter((path) => /\.\d+(\.[0-9a-f]{8})?$|snapshots\/\./.test(path))];
}

describe('a disk that is full', function () {
  this.timeout(FAULTS * 60_000);

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'fallocate' });
    mkdirSync(disk);
    await mustRun('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]);
    const baseTar = join(dir, 'base.tar');
    await mustRun('tar', ['-C', makeBaseRootfs(), '-cf', baseTar, '.']);
    await tsbuild.must(['import', baseTar, 'base']);
  });
  after(async () => {
    if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${disk} `)) await mustRun('umount', [disk]);
  });

  it('is pruned, and the step tried once more', async () => {
    const first = newContext();
    await tsbuild.must(['build', first.context, '-o', 'type=cacheonly']);
    fill(10 << 20);
    const second = newContext();
    const { stderr } = await tsbuild.must([
      'build',
      second.context,
      '-o',
      'type=cacheonly',
      '--progress',
      'plain',
      '--target',
      'made',
    ]);
    expect(stderr).to.match(/^#\d+ the disk was full; pruned \d+(\.\d+)?MB, trying once more$/m);
    expect((await tsbuild.run(['doctor', '--store'])).stdout).to.match(/^ok/);
  });

  it('ends in an error that says what is needed, what takes the room, and the way out', async () => {
    await tsbuild.must(['prune', '--all']);
    fill(20 << 20);
    const { status, stderr } = await tsbuild.run(['build', newContext().context, '-t', 'app']);
    expect(status).to.equal(1);
    expect(stderr).to.match(
      /^error: the disk of "\S+\/store" is full: more than the \d\S+MB of 210MB that were free is needed; nothing could be pruned\n {2}in \[made 3\/4\] RUN cat /m,
    );
    expect(stderr).to.match(
      /^hint: .*tsbuild rmi.*the largest things there: .*image docker.io\/library\/base:latest \(\S+MB\)/m,
    );
    expect(stderr).to.include('[DISK_FULL, exit status 1');
    expect(stderr).to.match(/>>> RUN cat \/big/);
  });

  it('ends a load in the same way, from a file and from standard input', async () => {
    const archive = join(dir, 'app.tar');
    rmSync(filler, { force: true });
    await tsbuild.must(['build', newContext().context, '-o', `type=docker,dest=${archive}`, '-t', 'app']);
    await tsbuild.must(['prune', '--all']);
    fill(4 << 20);
    for (const input of [undefined, readFileSync(archive)]) {
      const flags = input ? [] : ['-i', archive];
      const { status, stderr } = await tsbuild.run(['load', ...flags], input ? { input } : {});
      expect(status).to.equal(1);
      expect(stderr).to.match(/^error: the disk of "\S+\/store" is full: [^]*\[DISK_FULL/);
    }
    expect(filesLeft()).to.deep.equal([]);
  });

  it('ends an import in the same way, from a file and from standard input', async () => {
    const tar = join(dir, 'rootfs.tar');
    await mustRun('tar', ['-C', newContext().context, '-cf', tar, '.']);
    await tsbuild.must(['prune', '--all']);
    fill(4 << 20);
    for (const [from, input] of [[tar], ['-', readFileSync(tar)]] as const) {
      const { status, stderr } = await tsbuild.run(['import', from, 'rootfs'], input ? { input } : {});
      expect(status).to.equal(1);
      expect(stderr).to.match(/^error: the disk of "\S+\/store" is full: [^]*\[DISK_FULL/);
    }
    expect(filesLeft()).to.deep.equal([]);
  });

  it('ends a push and a save in the same way', async () => {
    rmSync(filler, { force: true });
    const name = '127.0.0.1:9/app';
    await tsbuild.must(['build', newContext().context, '-t', name, '--target', 'made']);
    await tsbuild.must(['prune', '--all']);
    fill(4 << 20);
    for (const args of [
      ['push', name],
      ['save', name, '-o', join(disk, 'app.tar')],
    ]) {
      const { status, stderr } = await tsbuild.run(args);
      expect(status, stderr).to.equal(1);
      expect(stderr).to.match(/^error: the disk of "\S+\/store" is full: [^]*\[DISK_FULL/m);
    }
    expect(filesLeft()).to.deep.equal([]);
    expect(readdirSync(disk)).to.have.members(['store', 'filler']);
    await tsbuild.must(['rmi', name]);
  });

  it('is recognized where the program of a RUN meets it', async () => {
    const { context } = newContext();
    fill(24 << 20);
    const text = 'FROM base\nRUN head -c 100000000 /dev/zero > /x\n';
    writeFileSync(join(context, 'Dockerfile'), text);
    const { status, stderr } = await tsbuild.run(['build', context]);
    expect(status).to.equal(1);
    expect(stderr).to.match(/caused by: process .*exit code: 1; the disk of the store was full/);
    expect(stderr).to.include('[DISK_FULL');
  });

  it(`leaves a store that is whole, and nothing else, at ${FAULTS} random points`, async () => {
    let failures = 0;
    for (let fault = 0; fault < FAULTS; fault++) {
      const freeBytes = Math.floor(Math.random() * (110 << 20));
      const hint = `fault ${fault}, ${freeBytes} bytes free`;
      const { context, big } = newContext();
      fill(freeBytes);
      const outputs =
        fault % 2 === 0 ? [] : ['-o', `type=docker,dest=${join(disk, 'app.tar')}`, '-o', 'type=image'];
      const broken = await tsbuild.run(['build', context, '-t', 'app', ...outputs]);
      if (broken.status !== 0) {
        failures += 1;
        expect(broken.stderr, `${hint}\n${broken.stderr}`).to.include('[DISK_FULL, exit status 1');
      }
      const check = await tsbuild.run(['doctor', '--store']);
      expect(check.stdout + check.stderr, hint).to.match(/^ok/);
      expect(filesLeft(), hint).to.deep.equal([]);
      rmSync(filler, { force: true });
      rmSync(join(disk, 'app.tar'), { force: true });
      await tsbuild.must(['build', context, '-t', 'app']);
      const { stdout } = await tsbuild.must([
        'run',
        'app',
        'sh',
        '-c',
        'md5sum < /data/twice && md5sum < /last',
      ]);
      const sums = await mustRun('sh', ['-c', 'cat big big | md5sum && md5sum < big'], { cwd: context });
      expect(stdout, hint).to.equal(sums);
      expect(big.length).to.equal(8 << 20);
    }
    expect(failures).to.be.greaterThan(0);
  });
});
