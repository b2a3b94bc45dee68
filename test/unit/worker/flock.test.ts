import { expect } from 'chai';
import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createLockAcquirer } from '../../../src/worker/sys/flock.js';
import { join } from 'node:path';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('a lock', () => {
  it('is held by one at a time; the others wait and say so once', async () => {
    const acquire = createLockAcquirer(tmpDir());
    const order: string[] = [];
    const first = await acquire('a');
    const second = acquire('a', { onWait: () => order.push('waits') }).then((lock) => {
      order.push('second');
      return lock;
    });
    await new Promise((resolve) => setTimeout(resolve, 80));
    order.push('released');
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    expect(order).to.deep.equal(['waits', 'released', 'second']);
  });

  it('is shared by readers', async () => {
    const acquire = createLockAcquirer(tmpDir());
    using _one = await acquire('a', { shared: true });
    using _two = await acquire('a', { shared: true });
  });

  it('is not waited for after an abort', async () => {
    const acquire = createLockAcquirer(tmpDir());
    using _held = await acquire('a');
    const controller = new AbortController();
    const reason = new Error('stop');
    const waiting = acquire('a', { signal: controller.signal });
    controller.abort(reason);
    expect(await waiting.catch((error: unknown) => error)).to.equal(reason);
  });

  it('tells those who wait who holds it, and hands on what is logged, to the end', async () => {
    const acquire = createLockAcquirer(tmpDir());
    const log = join(tmpDir(), 'log');
    const holders: unknown[] = [];
    let output = '';
    const first = await acquire('a', { purpose: 'RUN one' });
    const second = acquire('a', {
      onWait: (holder) => holders.push([holder?.pid, holder?.purpose]),
      onOutput: (data) => (output += Buffer.from(data).toString('utf8')),
    });
    writeFileSync(log, 'begin\n');
    first.tellLog(log);
    while (output === '') await new Promise((resolve) => setTimeout(resolve, 10));
    appendFileSync(log, 'end\n');
    first[Symbol.dispose]();
    using held = await second;
    expect(holders).to.deep.equal([[process.pid, 'RUN one']]);
    expect(output).to.equal('begin\nend\n');
    expect([first.waited, held.waited]).to.deep.equal([false, true]);
  });

  it('tells who holds it in a file that a killed process left', async () => {
    const dir = tmpDir();
    writeFileSync(join(dir, 'a'), JSON.stringify({ pid: 1, sinceMs: 0, purpose: 'RUN '.repeat(100) }));
    const acquire = createLockAcquirer(dir);
    const first = await acquire('a', { purpose: 'RUN one' });
    const holders: unknown[] = [];
    const second = acquire('a', { onWait: (holder) => holders.push([holder?.pid, holder?.purpose]) });
    while (holders.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    expect(holders).to.deep.equal([[process.pid, 'RUN one']]);
  });

  it('leaves no file, whatever its name', async () => {
    const dir = join(tmpDir(), 'locks');
    const lock = await createLockAcquirer(dir)('sha256:../../x');
    expect(readdirSync(dir)).to.have.length(1);
    lock[Symbol.dispose]();
    lock[Symbol.dispose]();
    expect(readdirSync(dir)).to.deep.equal([]);
  });
});
