import { expect } from 'chai';
import { existsSync, lstatSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMountStubs } from '../../../src/worker/executor/stubs.js';
import { setTimesNs } from '../../../src/worker/sys/syscalls.js';
import { makeContext } from '../../kit/context.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('targets of mounts', () => {
  const source = makeContext({ file: 'x', 'tree/file': 'x' }, tmpDir());
  const mount = (name: string, target: string) => ({ source: join(source, name), target, readonly: true });

  it('are made where they are missing, and removed without a trace', () => {
    const root = makeContext({ 'etc/hosts': 'kept\n' });
    setTimesNs(join(root, 'etc'), 1n, 1_600_000_000_000_000_001n);
    const before = lstatSync(join(root, 'etc'), { bigint: true });
    const remove = createMountStubs(root, [
      mount('file', '/etc/hosts'),
      mount('file', '/etc/new'),
      mount('tree', '/a/b'),
    ]);
    expect(lstatSync(join(root, 'etc/new')).isFile()).to.equal(true);
    expect(lstatSync(join(root, 'a/b')).isDirectory()).to.equal(true);
    remove();
    expect([
      existsSync(join(root, 'etc/new')),
      existsSync(join(root, 'a')),
      existsSync(join(root, 'etc/hosts')),
    ]).to.deep.equal([false, false, true]);
    expect(lstatSync(join(root, 'etc'), { bigint: true }).mtimeNs).to.equal(before.mtimeNs);
  });

  it('are left alone where the process put a link to elsewhere in their way', () => {
    const elsewhere = makeContext({ 'd/file': '', 'd/sub': { directory: true } });
    const root = makeContext({});
    const remove = createMountStubs(root, [mount('file', '/d/file'), mount('tree', '/d/sub')]);
    renameSync(join(root, 'd'), join(root, 'moved'));
    symlinkSync(join(elsewhere, 'd'), join(root, 'd'));
    remove();
    expect([existsSync(join(elsewhere, 'd/file')), existsSync(join(elsewhere, 'd/sub'))]).to.deep.equal([
      true,
      true,
    ]);
  });

  it('stay where the process filled them', () => {
    const root = makeContext({});
    const remove = createMountStubs(root, [mount('file', '/d/one'), mount('file', '/d/two')]);
    writeFileSync(join(root, 'd/one'), 'filled');
    remove();
    expect([existsSync(join(root, 'd/one')), existsSync(join(root, 'd/two'))]).to.deep.equal([true, false]);
  });
});
