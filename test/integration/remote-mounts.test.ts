import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type ActionsCache, startActionsCache } from '../kit/actions-cache.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { differences, readTree } from '../kit/image-tree.js';
import { needs } from '../kit/needs.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { s3Attributes, type S3Server, startS3Server } from '../kit/s3-server.js';
import { runAsStoreOwner } from '../kit/store-owner.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** 64 MB where nothing says otherwise; in CI less. */
const FILES = Number(process.env['TSBUILD_MOUNT_FILES'] ?? (process.env['TSBUILD_CI'] ? 800 : 2000));
const FILE_BYTES = 32 << 10;

function newMachine() {
  const root = tmpDir();
  return { root, ...tsbuildIn(root) };
}

/** The one cache mount of a machine. */
function mountOf({ root }: { root: string }): string {
  const names = readdirSync(join(root, 'mounts')).filter((name) => !name.endsWith('.json'));
  expect(names).to.have.length(1);
  return join(root, 'mounts', names[0]!);
}

function sizeOf(directory: string): number {
  return Number(execFileSync('du', ['-sb', directory], { encoding: 'utf8' }).split('\t')[0]);
}

describe('cache mounts in remote caches', function () {
  this.timeout(120_000);
  let base: string;
  let cache: string;

  before(function () {
    needs(this, 'builder', { program: 'busybox' }, { program: 'crun' });
    base = join(tmpDir(), 'rootfs.tar');
    execFileSync('tar', ['--numeric-owner', '-cf', base, '-C', makeBaseRootfs(), '.']);
  });

  beforeEach(() => {
    cache = join(tmpDir(), 'cache');
  });

  /** A build whose RUN has the mount and does `command`. */
  async function run(machine: ReturnType<typeof newMachine>, command: string, ...args: string[]) {
    if (readdirSync(machine.root).length === 0) await machine.must(['import', base, 'base']);
    const mount = '--mount=type=cache,target=/cache,id=things';
    const context = makeContext({ Dockerfile: `FROM base\nRUN ${mount} ${command}\n` });
    return machine.must(['build', context, '-o', 'type=cacheonly', '--progress', 'plain', ...args]);
  }

  const to = (more = ',mounts=all') => ['--cache-to', `type=local,dest=${cache},mode=max${more}`];
  const from = () => ['--cache-from', `type=local,src=${cache}`];

  it('restores files with mode, owner, time and links where the mount is new', async () => {
    const one = newMachine();
    await run(one, 'mkdir /cache/dir');
    const directory = mountOf(one);
    writeFileSync(join(directory, 'dir/run.sh'), '#!/bin/sh\n');
    const owned = 'chown 1000:1001 "$0" && chmod 4755 "$0"';
    runAsStoreOwner('sh', ['-c', owned, join(directory, 'dir/run.sh')]);
    writeFileSync(join(directory, 'large'), randomBytes(3 << 20));
    writeFileSync(join(directory, 'empty'), '');
    symlinkSync('../outside', join(directory, 'dir/link'));
    linkSync(join(directory, 'large'), join(directory, 'dir/same'));
    utimesSync(join(directory, 'large'), 1_500_000_000.123456, 1_500_000_000.123456);
    execFileSync('touch', ['-d', '@-1.5', join(directory, 'empty')]);
    await run(one, 'true', ...to());

    const other = newMachine();
    const { stderr } = await run(other, 'ls /cache > /list', ...from());
    expect(stderr).to.contain('cache mount "things" restored from directory ');
    const restored = mountOf(other);
    expect(differences(readTree(directory), readTree(restored))).to.deep.equal([]);
    for (const path of ['', 'large', 'empty', 'dir', 'dir/run.sh']) {
      const stats = [directory, restored].map((root) => statSync(join(root, path), { bigint: true }).mtimeNs);
      expect(stats[1], path).to.equal(stats[0]);
    }
  });

  it('sends less than 5 % of the bytes when 1 % of the files changed, and nothing when none did', async () => {
    const one = newMachine();
    await run(one, 'true');
    const directory = mountOf(one);
    for (let i = 0; i < FILES; i++) {
      const parent = join(directory, String(i % 50));
      mkdirSync(parent, { recursive: true });
      writeFileSync(join(parent, String(i)), randomBytes(FILE_BYTES));
    }
    const first = await run(one, 'true', ...to());
    const all = Number(/blobs sent, (\d+) bytes/.exec(first.stderr)![1]);
    expect(all).to.be.greaterThan(FILES * FILE_BYTES);

    expect((await run(one, 'true', ...to())).stderr).to.contain('nothing new to send');

    for (let i = 0; i < FILES; i += 100)
      writeFileSync(join(directory, String(i % 50), String(i)), randomBytes(FILE_BYTES));
    const second = await run(one, 'true', ...to());
    const changed = Number(/blobs sent, (\d+) bytes/.exec(second.stderr)![1]);
    expect(changed)
      .to.be.greaterThan(0.01 * all)
      .and.lessThan(0.05 * all);

    const other = newMachine();
    await run(other, 'ls /cache > /list', ...from());
    expect(differences(readTree(directory), readTree(mountOf(other)))).to.deep.equal([]);
    expect(sizeOf(mountOf(other))).to.equal(sizeOf(directory));
  });

  it('sends only what is new of a large file into whose middle something was put', async () => {
    const one = newMachine();
    await run(one, 'true');
    const file = join(mountOf(one), 'archive');
    const data = randomBytes(16 << 20);
    writeFileSync(file, data);
    await run(one, 'true', ...to());
    writeFileSync(
      file,
      Buffer.concat([data.subarray(0, 5_000_001), Buffer.from('new'), data.subarray(5_000_001)]),
    );
    const { stderr } = await run(one, 'true', ...to());
    expect(Number(/blobs sent, (\d+) bytes/.exec(stderr)![1])).to.be.lessThan(0.05 * data.length);
  });

  it('takes only the ids that are named', async () => {
    const one = newMachine();
    await run(one, 'echo x > /cache/x', ...to(',mounts=others'));
    const other = newMachine();
    await run(other, 'ls /cache > /list', ...from());
    expect(readdirSync(mountOf(other))).to.deep.equal([]);
  });

  it('keeps what the cache has of a mount that this machine never opened', async () => {
    await run(newMachine(), 'echo x > /cache/x', ...to());
    const second = newMachine();
    await run(second, 'echo x > /cache/x', ...from(), ...to());
    expect(readdirSync(join(second.root, 'mounts'))).to.deep.equal([]);
    const third = newMachine();
    await run(third, 'ls /cache > /list', ...from());
    expect(readdirSync(mountOf(third))).to.deep.equal(['x']);
  });

  it('leaves a mount alone that is there already', async () => {
    await run(newMachine(), 'echo theirs > /cache/x', ...to());
    const other = newMachine();
    await run(other, 'echo ours > /cache/x');
    await run(other, 'cat /cache/x > /copy', ...from());
    expect(readFileSync(join(mountOf(other), 'x'), 'utf8')).to.equal('ours\n');
  });

  it('begins with an empty mount where a pack is damaged, and says so', async () => {
    const one = newMachine();
    await run(one, 'head -c 3000000 /dev/urandom > /cache/x', ...to());
    const blobs = join(cache, 'blobs/sha256');
    const largest = readdirSync(blobs).toSorted(
      (a, b) => statSync(join(blobs, b)).size - statSync(join(blobs, a)).size,
    )[0]!;
    writeFileSync(join(blobs, largest), randomBytes(statSync(join(blobs, largest)).size));
    const other = newMachine();
    const { stderr } = await run(other, 'ls /cache > /list', ...from());
    expect(stderr).to.contain('of a cache mount has other bytes');
    expect(readdirSync(mountOf(other))).to.deep.equal([]);
  });

  it('leaves out a mount with a name that is not UTF-8, says so, and exports the rest', async () => {
    const one = newMachine();
    await run(one, 'echo whole > /cache/x', ...to());
    const { stderr } = await run(one, `printf hi > "$(printf '/cache/caf\\351')"`, ...to());
    expect(stderr)
      .to.contain('the cache mount "things" was not exported to directory ')
      .and.to.match(/"caf\\xe9" in ".*" is not UTF-8/)
      .and.not.contain('the cache was not exported');
    const other = newMachine();
    await run(other, 'ls /cache > /list', ...from());
    expect(readdirSync(mountOf(other)), 'what the cache had before').to.deep.equal(['x']);
  });

  describe('on every backend that takes them', () => {
    let registry: Registry | undefined;
    let s3: S3Server | undefined;
    let actions: ActionsCache | undefined;

    before(async function () {
      needs(this, { program: 'docker-registry' });
      registry = await startRegistry();
      s3 = await startS3Server();
      actions = await startActionsCache();
    });

    after(async () => {
      await registry?.stop();
      await s3?.stop();
      await actions?.stop();
    });

    const places = {
      registry: () => `type=registry,ref=${registry!.host}/mounts:cache`,
      s3: () => {
        const bucket = Object.entries(s3Attributes(s3!.host)).map(([key, value]) => `${key}=${value}`);
        return ['type=s3', 'name=mounts', ...bucket].join(',');
      },
      gha: () => `type=gha,url_v2=${actions!.url},token=${actions!.token},scope=mounts`,
    };

    for (const [type, place] of Object.entries(places))
      it(`go through type=${type}, and one file of a hundred costs less than 5 %`, async () => {
        const flags = ['--cache-to', `${place()},mode=max,mounts=all`];
        const one = newMachine();
        await run(one, 'true');
        const directory = mountOf(one);
        for (let i = 0; i < 100; i++) writeFileSync(join(directory, String(i)), randomBytes(FILE_BYTES));
        const all = Number(/blobs sent, (\d+) bytes/.exec((await run(one, 'true', ...flags)).stderr)![1]);
        expect(all).to.be.greaterThan(100 * FILE_BYTES);
        expect((await run(one, 'true', ...flags)).stderr).to.contain('nothing new to send');
        writeFileSync(join(directory, '50'), randomBytes(FILE_BYTES));
        const changed = Number(/blobs sent, (\d+) bytes/.exec((await run(one, 'true', ...flags)).stderr)![1]);
        expect(changed)
          .to.be.greaterThan(FILE_BYTES)
          .and.lessThan(0.05 * all);
        const other = newMachine();
        await run(other, 'ls /cache > /list', '--cache-from', place());
        expect(differences(readTree(directory), readTree(mountOf(other)))).to.deep.equal([]);
      });

    it('are refused with type=inline, which has no room for them', async () => {
      const machine = newMachine();
      await machine.must(['import', base, 'base']);
      const context = makeContext({ Dockerfile: 'FROM base\nRUN true\n' });
      const refused = await machine.run([context, '--cache-to', 'type=inline,mounts=all']);
      expect(refused.status).to.equal(2);
      expect(refused.stderr).to.contain('--cache-to type=inline has no "mounts"');
      expect(refused.stderr).to.not.contain('CACHED').and.not.contain('DONE');
    });
  });
});
