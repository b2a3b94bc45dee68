import { spawnSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { closeSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { digestOf } from '../../../src/oci/digest.js';
import { digestFile } from '../../../src/worker/source/file-digest.js';
import {
  FileHashThread,
  FollowingHash,
  hasIdleHashThread,
  hashThread,
} from '../../../src/worker/sys/file-hash.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const dir = tmpDir();

describe('hashing on another core', () => {
  it('gives the digests of files in the order in which they were asked for', async () => {
    const thread = new FileHashThread();
    const texts = ['', 'a', 'b'.repeat(3 << 20)];
    const files = texts.map((text, i) => {
      const path = join(dir, `f${i}`);
      writeFileSync(path, text);
      return { fd: openSync(path, 'r'), size: text.length };
    });
    const digests = await Promise.all(files.map(({ fd, size }) => thread.digest(fd, size)));
    expect(digests).to.deep.equal(texts.map((text) => digestOf(text)));
    expect(await thread.digest(files[2]!.fd, 5)).to.equal(digestOf('bbbbb'));
  });

  it('has no file to hash as soon as it is done, not with the next turn of the event loop', async () => {
    const thread = new FileHashThread();
    const path = join(dir, 'soon');
    writeFileSync(path, 'x');
    const fd = openSync(path, 'r');
    await thread.digest(fd, 1);
    const asked = [thread.digest(fd, 1), thread.digest(fd, 1)];
    expect(thread.queued).to.be.within(0, 2);
    const deadlineMs = Date.now() + 10_000;
    while (thread.queued > 0 && Date.now() < deadlineMs);
    expect(thread.queued).to.equal(0);
    expect(await Promise.all(asked)).to.deep.equal([digestOf('x'), digestOf('x')]);
  });

  it('listens to a signal for large files alone, of which few are asked for at a time', async () => {
    const thread = new FileHashThread();
    const [small, large] = [join(dir, 'small'), join(dir, 'sixteen')];
    writeFileSync(small, 'x');
    writeFileSync(large, '');
    truncateSync(large, 16 << 20);
    const { signal } = new AbortController();
    const listening = () => getEventListeners(signal, 'abort').length;
    const ofSmall = [1, 2, 3].map(() => thread.digest(openSync(small, 'r'), 1, signal));
    expect(listening()).to.equal(0);
    const ofLarge = thread.digest(openSync(large, 'r'), 16 << 20, signal);
    expect(listening()).to.equal(1);
    await Promise.all([...ofSmall, ofLarge]);
    expect(listening()).to.equal(0);
  });

  it('says what is wrong with one file and goes on with the next', async () => {
    const thread = new FileHashThread();
    const failing = thread.digest(openSync(dir, 'r'), 1);
    writeFileSync(join(dir, 'present'), 'x');
    const present = thread.digest(openSync(join(dir, 'present'), 'r'), 1);
    const error = await failing.catch((caught: unknown) => caught);
    expect((error as NodeJS.ErrnoException).code).to.equal('EISDIR');
    expect(await present).to.equal(digestOf('x'));
  });

  it('reads a large file no more when it is aborted, and goes on with the next', async () => {
    const [large, next] = [join(dir, 'large'), join(dir, 'next')];
    // All of it is a hole; hashing it takes some 15 s at least.
    writeFileSync(large, '');
    truncateSync(large, 32 * 2 ** 30);
    writeFileSync(next, 'x');
    const fd = openSync(large, 'r');
    // Whichever of the two ends first.
    const beside = digestFile(large, 32 * 2 ** 30, AbortSignal.timeout(100)).catch(({ name }: Error) => name);
    const thread = new FileHashThread();
    const reason = new Error('not needed');
    const aborting = new AbortController();
    const asked = thread.digest(fd, 32 * 2 ** 30, aborting.signal);
    const after = thread.digest(openSync(next, 'r'), 1);
    setTimeout(() => aborting.abort(reason), 100);
    const startedMs = Date.now();
    expect(await asked.catch((caught: unknown) => caught)).to.equal(reason);
    expect(await after).to.equal(digestOf('x'));
    expect(await beside).to.equal('TimeoutError');
    expect(Date.now() - startedMs).to.be.below(5_000);
    rmSync(large);
  });

  it('gives no digest once its thread has died, and takes no more files', async () => {
    const started = once(process, 'worker') as Promise<[Worker]>;
    const thread = new FileHashThread();
    const path = join(dir, 'asked');
    writeFileSync(path, 'x');
    const [worker] = await started;
    const fd = openSync(path, 'r');
    const asked = thread.digest(fd, 1);
    await worker.terminate();
    expect(await asked).to.be.oneOf([undefined, digestOf('x')]);
    expect(await thread.digest(fd, 1)).to.equal(undefined);
    expect(thread.queued).to.equal(Infinity);
  });

  it('follows a file that is being written', () => {
    const path = join(dir, 'growing');
    const fd = openSync(path, 'wx');
    const expected = createHash('sha256');
    const part = Buffer.alloc(1 << 20);
    const following = new FollowingHash(path, 0);
    for (let i = 1; i <= 20; i++) {
      writeSync(fd, randomFillSync(part));
      expected.update(part);
      following.advance(i * part.length);
    }
    closeSync(fd);
    expect(following.finish()).to.equal(`sha256:${expected.digest('hex')}`);
  });

  it('follows with a thread that is there and idle, and with one of its own beside it', async () => {
    const path = join(dir, 'followed');
    writeFileSync(path, 'x'.repeat(100));
    // The first one that is idle.
    const thread = hashThread(1, Infinity)!;
    await thread.digest(openSync(path, 'r'), 1);
    const first = new FollowingHash(path, 50);
    expect(thread.queued).to.equal(Infinity);
    const second = new FollowingHash(path, 100);
    first.advance(60);
    expect(second.finish()).to.equal(digestOf('x'.repeat(100)));
    expect(thread.queued).to.equal(Infinity);
    expect(first.finish()).to.equal(digestOf('x'.repeat(60)));
    expect(thread.queued).to.equal(0);
    expect(hasIdleHashThread()).to.equal(true);
  });

  it('does not keep the process with a thread that has nothing to do, or that follows a file for ever', () => {
    const module = JSON.stringify(
      fileURLToPath(new URL('../../../src/worker/sys/file-hash.ts', import.meta.url)),
    );
    const script = `import { FileHashThread, FollowingHash, hashThread } from ${module};
      new FileHashThread();
      hashThread(1, 1);
      new FollowingHash(${JSON.stringify(join(dir, 'followed'))}, 1);
      new FollowingHash(${JSON.stringify(join(dir, 'followed'))}, 1);`;
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { timeout: 30_000, encoding: 'utf8' },
    );
    expect(status, stderr).to.equal(0);
  });

  it('gives a thread back that is not needed any more, also where nothing came of it', async () => {
    const thread = hashThread(1, Infinity)!;
    const path = join(dir, 'given-up');
    writeFileSync(path, 'x');
    const fd = openSync(path, 'r');
    await thread.digest(fd, 1);
    new FollowingHash(path, 1).abandon();
    expect(new FollowingHash(join(dir, 'missing'), 1).finish()).to.equal(undefined);
    const deadlineMs = Date.now() + 10_000;
    while (thread.queued > 0 && Date.now() < deadlineMs);
    expect(await thread.digest(fd, 1)).to.equal(digestOf('x'));
  });

  it('waits for no thread that has died', async () => {
    const started = once(process, 'worker') as Promise<[Worker]>;
    const path = join(dir, 'orphan');
    writeFileSync(path, 'x');
    // Whatever is idle, and one of its own at the end.
    const following = Array.from({ length: 12 }, () => new FollowingHash(path, 1));
    const [worker] = await started;
    await worker.terminate();
    const startedMs = Date.now();
    for (const each of following) expect(each.finish()).to.be.oneOf([undefined, digestOf('x')]);
    expect(Date.now() - startedMs).to.be.below(20_000);
  });

  it('gives no digest of a file that it cannot read', () => {
    const following = new FollowingHash(join(dir, 'never'), 10);
    expect(following.finish()).to.equal(undefined);
  });

  it('does not keep the process, and can be abandoned', async () => {
    const path = join(dir, 'abandoned');
    writeFileSync(path, 'x');
    const following = new FollowingHash(path, 1);
    following.abandon();
    rmSync(path);
    expect(following.finish()).to.equal(undefined);
  });
});
