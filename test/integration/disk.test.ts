import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStamp } from '../../src/cache/process-stamp.js';
import type { DiskUsage, PruneResult } from '../../src/disk.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { longSleep, processesWith } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { runAsStoreOwner } from '../kit/store-owner.js';
import { tmpDir } from '../kit/tmp-dir.js';

const baseTar = join(tmpDir(), 'base.tar');

async function storeWithBase() {
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);
  await tsbuild.must(['import', baseTar, 'base']);
  const json = async <T>(...args: string[]): Promise<T> =>
    JSON.parse((await tsbuild.must([...args, '--format', 'json'])).stdout) as T;
  return {
    root,
    ...tsbuild,
    build: (context: string, ...flags: string[]) =>
      tsbuild.must(['build', context, '--progress', 'plain', ...flags]),
    usage: () => json<DiskUsage>('du'),
    prune: (...flags: string[]) => json<PruneResult>('prune', ...flags),
  };
}

function duBytes(root: string): number {
  return Number(runAsStoreOwner('du', ['-s', '--block-size=1', root]).split('\t')[0]);
}

/** Two layers of 1 MB, one of 4 MB, a cache mount. */
const context = () =>
  makeContext({
    Dockerfile: [
      'FROM base',
      'COPY big /big',
      'RUN dd if=/dev/urandom of=/a bs=1024 count=1024 && ln /a /b',
      'RUN --mount=type=cache,id=npm,target=/c dd if=/dev/zero of=/c/x bs=1024 count=512 && sleep 1 && cp /a /d',
    ].join('\n'),
    big: Buffer.alloc(4 << 20, 'x'),
  });

describe('the size of the store', function () {
  this.timeout(120_000);
  before(async function () {
    needs(this, 'builder', { program: 'crun' });
    await mustRun('tar', ['-C', makeBaseRootfs(), '-cf', baseTar, '.']);
  });

  describe('du', () => {
    it('accounts what du counts, within 2 percent, and names what takes it', async () => {
      const store = await storeWithBase();
      await store.build(context(), '-t', 'app');
      await store.build(context(), '-o', `type=tar,dest=${join(tmpDir(), 'x.tar')}`);
      const usage = await store.usage();
      const real = duBytes(store.root);
      expect(Math.abs(usage.totalBytes - real) / real).to.be.below(0.02);
      const sum = usage.items.reduce((total, item) => total + item.bytes, usage.otherBytes);
      expect(sum).to.equal(usage.totalBytes);
      expect(usage.types.map(({ type }) => type)).to.include.members([
        'layer',
        'directory',
        'record',
        'mount',
        'log',
      ]);
      expect(usage.items.find(({ type }) => type === 'mount')!.description).to.equal('cache mount npm');
      const app = usage.images.find(({ name }) => name.endsWith('/app:latest'))!;
      expect(app.bytes).to.be.greaterThan(6 << 20);
      expect(app.sharedBytes)
        .to.be.greaterThan(1 << 20)
        .and.below(app.bytes);
      expect(usage.prunableBytes).to.equal((await store.prune('--dry-run')).bytes);
    });

    it('names everything, and fails never, while prune takes things away beside it', async () => {
      const store = await storeWithBase();
      for (let round = 0; round < 3; round++) {
        const steps = Array.from({ length: 6 }, (_, i) => {
          const mount = `--mount=type=cache,id=m${i},target=/c`;
          return `RUN ${mount} echo ${round} ${i} | tee /c/x > /f${i}`;
        });
        const own = makeContext({ Dockerfile: ['FROM base', ...steps].join('\n') });
        await store.build(own, '-t', 'gone');
        await store.must(['rmi', 'gone']);
        let isPruning = true;
        const pruning = store.prune('--all').finally(() => (isPruning = false));
        let looks = 0;
        for (; isPruning || looks < 3; looks++) {
          const [usage, shown] = await Promise.all([store.usage(), store.must(['du', '--verbose'])]);
          for (const item of usage.items) expect(item.description, JSON.stringify(item)).to.match(/\S/);
          const rows = shown.stdout.split('\n').filter((line) => / ago {2}/.test(line));
          expect(rows.filter((row) => !/ ago {2,}\S.*? {2,}\S/.test(row))).to.deep.equal([]);
          expect([shown.stderr, shown.stdout.match(/undefined|NaN/)]).to.deep.equal(['', null]);
        }
        expect((await pruning).removed.length).to.be.greaterThan(6);
      }
    });

    it('is read by people', async () => {
      const store = await storeWithBase();
      await store.build(context(), '-t', 'app');
      const { stdout } = await store.must(['du', '--verbose']);
      expect(stdout).to.match(/^WHAT +COUNT +SIZE +PRUNABLE\n/);
      expect(stdout).to.match(/^cache mounts +1 +\d+kB +\d+kB$/m);
      expect(stdout).to.match(/^docker.io\/library\/app:latest +\S+MB +\S+MB$/m);
      expect(stdout).to.match(
        /^[0-9a-f]{12} +layer +\S+MB +\S.* ago +\[2\/4\] COPY big \/big +docker.io\/library\/app:latest$/m,
      );
    });
  });

  describe('prune', () => {
    it('leaves images whole, and the records of their steps', async () => {
      const store = await storeWithBase();
      const dir = context();
      await store.build(dir, '-t', 'app');
      const { removed } = await store.prune();
      expect(removed.map(({ type }) => type))
        .to.include('mount')
        .and.not.include('layer')
        .and.not.include('record');
      expect((await store.build(dir, '-t', 'app')).stderr).to.match(/CACHED[\s\S]*CACHED[\s\S]*CACHED/);
      expect((await store.must(['run', 'app', 'sh', '-c', 'cmp /a /d && echo equal'])).stdout).to.equal(
        'equal\n',
      );
    });

    it('takes the layers of an image that has no name any more, and says so of each', async () => {
      const store = await storeWithBase();
      await store.build(context(), '-t', 'app');
      await store.must(['rmi', 'app']);
      const before = duBytes(store.root);
      const { stdout } = await store.must(['prune', '-f']);
      expect(stdout).to.match(
        /^[0-9a-f]{12} +layer +4\.\d+MB +\S.* ago +\[2\/4\] COPY big \/big +no image needs it$/m,
      );
      const freed = /^freed ([\d.]+)MB$/m.exec(stdout)![1]!;
      expect(Math.abs(before - duBytes(store.root) - Number(freed) * 1e6)).to.be.below(before * 0.02);
      expect((await store.usage()).items.filter(({ type }) => type === 'layer')).to.have.length(1);
      expect((await store.run(['doctor', '--store'])).status).to.equal(0);
    });

    it('with --dry-run removes nothing', async () => {
      const store = await storeWithBase();
      await store.build(context());
      const before = (await store.usage()).totalBytes;
      const { stdout } = await store.must(['prune', '--dry-run', '--all']);
      expect(stdout).to.match(/^would free \S+MB$/m);
      expect((await store.usage()).totalBytes).to.equal(before);
    });

    it('takes the files of failed steps, but not what tsbuild debug just looks at', async () => {
      const store = await storeWithBase();
      const dockerfile = 'FROM base\nRUN dd if=/dev/zero of=/x bs=1024 count=3072 && false\n';
      expect((await store.run([makeContext({ Dockerfile: dockerfile })])).status).to.equal(1);
      const usage = await store.usage();
      const [failed] = usage.items.filter(({ type }) => type === 'failed');
      expect(failed).to.include({
        description: '[2/2] RUN dd if=/dev/zero of=/x bs=1024 count=3072 && false',
      });
      expect(failed!.bytes).to.be.above(3 << 20);
      expect(usage.totalBytes - duBytes(store.root)).to.be.within(-4096, 4096);
      const id = failed!.id.slice('failed-'.length);

      const inUse = join(store.root, 'pruned-meanwhile');
      // The shell puts the words together, so that only what it starts is a process with the text.
      const [program, time] = longSleep(5).split(' ');
      const debugging = store.run(['debug', id, '--', 'sh', '-c', `echo; $0 ${time}`, program!], {
        onStart: (pid) => void pruneBeside(pid),
      });
      const pruneBeside = async (pid: number) => {
        while (processesWith(longSleep(5)).length === 0) await sleep(20);
        const { removed } = await store.prune('--filter', 'type=failed');
        writeFileSync(inUse, JSON.stringify(removed));
        process.kill(pid, 'SIGINT');
      };
      await debugging;
      expect(readFileSync(inUse, 'utf8')).to.equal('[]');
      const { stdout } = await store.must(['prune', '--filter', 'type=failed']);
      expect(stdout).to.match(/^failed-\S+ +failed +3\.\d+MB .* only tsbuild debug needs it$/m);
      expect(readdirSync(join(store.root, 'failed'))).to.deep.equal([]);
    });

    it('that was killed leaves nothing to the next command', async () => {
      const store = await storeWithBase();
      // Its pid is another process's now.
      const dead = processStamp().replace(/^(\d+)-\d+/, '$1-1');
      writeFileSync(join(store.root, 'leases', `${dead}-0`), '');
      writeFileSync(join(store.root, 'trash', `${dead}-0123456789ab`), 'x');
      writeFileSync(join(store.root, 'trash', `${processStamp()}-0123456789ab`), 'x');
      await store.must(['images']);
      expect(readdirSync(join(store.root, 'trash'))).to.deep.equal([`${processStamp()}-0123456789ab`]);
    });

    it('takes what the filters say', async () => {
      const store = await storeWithBase();
      await store.build(context());
      expect((await store.prune('--filter', 'until=24h')).removed).to.deep.equal([]);
      const { removed } = await store.prune('--filter', 'type=mount,description~=npm');
      expect(removed.map(({ type }) => type)).to.deep.equal(['mount']);
      expect(readdirSync(join(store.root, 'mounts'))).to.deep.equal([]);
    });

    it('stops at the limit, and takes what is made again soonest', async () => {
      const store = await storeWithBase();
      const dir = context();
      await store.build(dir, '-o', 'type=cacheonly');
      const { totalBytes } = await store.usage();
      const { removed } = await store.prune('--max-used-space', String(totalBytes - (2 << 20)));
      expect(removed.map(({ description }) => description).join()).to.include('COPY big');
      expect((await store.usage()).totalBytes).to.be.below(totalBytes - (2 << 20));
      expect(removed.map(({ type }) => type)).not.to.include('mount');
    });

    it('says what is wrong with a size or a filter', async () => {
      const store = await storeWithBase();
      const wrong = await store.run(['prune', '--keep-storage', 'much']);
      expect(wrong.stderr).to.include('--reserved-space "much" is not a size');
      expect((await store.run(['prune', '--filter', 'type=volume'])).status).to.equal(2);
    });
  });

  describe('the limit', () => {
    /** What is free on the disk, by which its growth is known until then, is others' as well. */
    const measureNext = (root: string) => rmSync(join(root, 'usage.json'), { force: true });
    const small = () =>
      makeContext({ Dockerfile: 'FROM base\nCOPY a /a\nRUN cat /a > /b\n', a: randomBytes(2 << 20) });

    it('is kept at the end of a build, which says what went; the build itself stays', async () => {
      const store = await storeWithBase();
      await store.build(context(), '-o', 'type=cacheonly');
      measureNext(store.root);
      const dir = small();
      const { stderr } = await store.build(dir, '-t', 'app', '--keep-storage', '14mb');
      expect(stderr).to.match(/^pruned \d+(\.\d+)?MB of the store, \d+ things, to keep its size$/m);
      expect((await store.usage()).totalBytes).to.be.below(14 * 1024 ** 2);
      expect((await store.build(dir, '-t', 'app')).stderr).to.match(/CACHED[\s\S]*CACHED[\s\S]*CACHED/);
    });

    it('comes from the config file too', async () => {
      const store = await storeWithBase();
      await store.build(context(), '-o', 'type=cacheonly');
      measureNext(store.root);
      const config = join(tmpDir(), 'config.yaml');
      writeFileSync(config, 'cache: { maxSize: 10MB }\n');
      const { stderr } = await store.build(small(), '-t', 'app', '--config', config);
      expect(stderr).to.match(/^pruned /m);
      writeFileSync(config, 'cache: { maxSize: much }\n');
      const wrong = await store.run(['build', small(), '--config', config]);
      expect(wrong.stderr).to.include('"cache.maxSize" in');
    });

    it('costs a cached build nothing: it neither walks the store nor reads the account', async function () {
      needs(this, 'root', { program: 'strace' });
      const store = await storeWithBase();
      const dir = small();
      await store.build(dir, '-t', 'app');
      const trace = join(tmpDir(), 'trace');
      const flags = ['-f', '-qq', '-o', trace, '-e', 'trace=openat,open,statfs', TSBUILD];
      await mustRun('strace', [...flags, 'build', dir, '-t', 'app', '--keep-storage', '1'], {
        env: { TSBUILD_ROOT: store.root },
      });
      expect(readFileSync(trace, 'utf8')).not.to.match(/usage\.json|statfs\("\S+\/tsbuild-test|records"/);
    });

    it('walks the store only when it may have been passed', async function () {
      needs(this, 'root', { program: 'strace' });
      const store = await storeWithBase();
      await store.build(small(), '-t', 'app', '--keep-storage', '1gb');
      const trace = join(tmpDir(), 'trace');
      const flags = ['-f', '-qq', '-o', trace, '-e', 'trace=openat,open', TSBUILD];
      await mustRun('strace', [...flags, 'build', small(), '-t', 'app', '--keep-storage', '1000gb'], {
        env: { TSBUILD_ROOT: store.root },
      });
      const opened = readFileSync(trace, 'utf8');
      expect(opened).to.include('usage.json');
      expect(opened).not.to.match(/\/records", O_RDONLY\|O_NONBLOCK/);
    });
  });
});
