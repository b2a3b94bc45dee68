import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layer } from '../../src/graph/contract.js';
import { mountOverlay, unmount } from '../../src/worker/sys/mounts.js';
import { enterMountNamespace, inUserNamespace } from '../../src/worker/sys/namespaces.js';
import { getXattr } from '../../src/worker/sys/syscalls.js';
import { type MountedRoot, OverlayRoots } from '../../src/worker/snapshot/overlay.js';
import { makeContext } from '../kit/context.js';
import { codeOf } from '../kit/code-of.js';
import { leftInWork } from '../kit/left-in-work.js';
import { until } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const never = new AbortController().signal;

describe('a root file system of layers', () => {
  before(function () {
    needs(this, 'mounts');
  });

  /** Layers are directories here: layer i is the directory i. */
  function openRoots(
    directories: readonly string[],
    work = tmpDir(),
  ): { roots: OverlayRoots; layers: Layer[]; work: string } {
    const roots = new OverlayRoots({
      work,
      layers: { directory: (_, position) => Promise.resolve(directories[position]!) },
    });
    return { roots, layers: directories.map(() => ({}) as Layer), work };
  }

  it('shows the files of all layers, the upper ones first', async () => {
    const { roots, layers } = openRoots([makeContext({ a: '1', b: '1' }), makeContext({ b: '2' })]);
    {
      await using root = await roots.mount(layers, never);
      expect([
        readFileSync(join(root.path, 'a'), 'utf8'),
        readFileSync(join(root.path, 'b'), 'utf8'),
      ]).to.deep.equal(['1', '2']);
    }
    await roots.close();
  });

  it('takes a layer that comes twice', async () => {
    const [a, b] = [makeContext({ f: 'a' }), makeContext({ f: 'b' })];
    const { roots, layers } = openRoots([a, b, a]);
    {
      await using root = await roots.mount(layers, never);
      expect(readFileSync(join(root.path, 'f'), 'utf8')).to.equal('a');
    }
    await roots.close();
  });

  it('removes what a run leaves a moment later where that was asked for, and many or large writes that nobody took at once', async () => {
    const { roots, layers, work } = openRoots([makeContext({ a: '1' })]);
    const writes: ((path: string) => void)[] = [
      () => undefined,
      (path) => writeFileSync(join(path, 'new'), 'y'),
      (path) => writeFileSync(join(path, 'new'), Buffer.alloc(2 << 20)),
      (path) => {
        for (let i = 0; i < 20; i++) mkdirSync(join(path, String(i)));
      },
    ];
    const mounted: MountedRoot[] = [];
    for (const write of writes) {
      const root = await roots.mount(layers, never);
      write(root.path);
      mounted.push(root);
    }
    const isThere: boolean[] = [];
    for (const root of mounted) {
      root.unmount();
      root.removeLater();
      await root[Symbol.asyncDispose]();
      // At once: on a busy machine the next one takes longer than that moment.
      isThere.push(existsSync(root.directory));
    }
    expect(isThere).to.deep.equal([true, true, false, false]);
    await until(() => leftInWork(work).length === 0);
    await roots.close();
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it('removes what was to go later when it is closed', async () => {
    const { roots, layers, work } = openRoots([makeContext({ a: '1' })]);
    {
      await using root = await roots.mount(layers, never);
      root.unmount();
      root.removeLater();
    }
    await roots.close();
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it('keeps writes apart, as an overlay change set', async () => {
    const base = makeContext({ 'gone/file': 'x', 'kept/file': 'x' });
    const { roots, layers, work } = openRoots([base]);
    const root = await roots.mount(layers, never);
    rmSync(join(root.path, 'gone'), { recursive: true });
    rmSync(join(root.path, 'kept'), { recursive: true });
    mkdirSync(join(root.path, 'kept'));
    writeFileSync(join(root.path, 'new'), 'y');
    root.unmount();
    expect(readdirSync(root.upper).sort()).to.deep.equal(['gone', 'kept', 'new']);
    expect(lstatSync(join(root.upper, 'gone')).isCharacterDevice()).to.equal(true);
    const opaque = inUserNamespace() ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
    expect(getXattr(join(root.upper, 'kept'), opaque)?.toString()).to.equal('y');
    expect(existsSync(join(base, 'gone/file'))).to.equal(true);
    await root[Symbol.asyncDispose]();
    await roots.close();
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it('is an empty directory without layers', async () => {
    const { roots } = openRoots([]);
    {
      await using root = await roots.mount([], never);
      expect(readdirSync(root.path)).to.deep.equal([]);
      writeFileSync(join(root.path, 'new'), '');
    }
    await roots.close();
  });

  it('shows empty files where the layers have nothing, and writes nothing for them', async () => {
    const base = makeContext({ 'etc/hosts': 'own', 'etc/kept': 'x' });
    const { roots, layers, work } = openRoots([base]);
    const emptyFiles = ['/etc/hosts', '/etc/resolv.conf', '/none/file'];
    for (let i = 0; i < 2; i++) {
      await using root = await roots.mount(layers, never, { emptyFiles });
      expect(readdirSync(root.path)).to.deep.equal(['etc']);
      expect(readFileSync(join(root.path, 'etc/hosts'), 'utf8')).to.equal('own');
      const stat = lstatSync(join(root.path, 'etc/resolv.conf'));
      expect([stat.size, stat.mode & 0o7777, stat.uid]).to.deep.equal([0, 0o644, 0]);
      expect(readdirSync(root.upper)).to.deep.equal([]);
      // What is written there is the root's own.
      writeFileSync(join(root.path, 'etc/resolv.conf'), 'new');
    }
    {
      await using root = await roots.mount(layers, never);
      expect(readdirSync(root.path)).to.deep.equal(['etc']);
      expect(readdirSync(join(root.path, 'etc')).sort()).to.deep.equal(['hosts', 'kept']);
    }
    {
      await using root = await roots.mount([], never, { emptyFiles: ['/f'] });
      expect(readdirSync(root.path)).to.deep.equal([]);
    }
    await roots.close();
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it('is without the empty files where the kernel takes no layer more', async () => {
    const directories = Array.from({ length: 500 }, (_, i) => makeContext({ [`etc/${i}`]: '' }));
    const { roots, layers, work } = openRoots(directories);
    {
      await using root = await roots.mount(layers, never, { emptyFiles: ['/etc/hosts'] });
      expect(readdirSync(join(root.path, 'etc'))).to.have.length(500);
    }
    await roots.close();
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it('has the mode and owner of the topmost root directory', async () => {
    const base = makeContext({});
    const { roots, layers } = openRoots([base]);
    {
      await using root = await roots.mount(layers, never);
      expect(lstatSync(root.path).mode & 0o7777).to.equal(lstatSync(base).mode & 0o7777);
    }
    await roots.close();
  });

  it('may have 400 layers with long paths', async () => {
    const dir = tmpDir();
    const directories = Array.from({ length: 400 }, (_, i) => join(dir, `${'long-'.repeat(20)}${i}`));
    for (const [i, path] of directories.entries())
      makeContext({ [`file-${i}`]: '' }, (mkdirSync(path), path));
    const { roots, layers } = openRoots(directories);
    {
      await using root = await roots.mount(layers, never);
      expect(readdirSync(root.path)).to.have.length(400);
    }
    await roots.close();
  });

  it('is refused with more layers than the kernel takes', async () => {
    const context = makeContext(Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`l${i}/f`, ''])));
    const { roots, layers, work } = openRoots(Array.from({ length: 501 }, (_, i) => join(context, `l${i}`)));
    expect(await codeOf(roots.mount(layers, never))).to.equal('MOUNT_FAILED');
    await roots.close();
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it('of one layer is bound read-only where nothing may be written', () => {
    enterMountNamespace();
    const target = tmpDir();
    mountOverlay({ lowers: [makeContext({ a: '' })], target });
    expect(() => writeFileSync(join(target, 'b'), '')).to.throw('EROFS');
    unmount(target);
    expect(readdirSync(target)).to.deep.equal([]);
  });

  it('and its mounts go with a process that was killed, while others work on', async () => {
    const work = tmpDir();
    const script = `
      const { OverlayRoots } = await import('./src/worker/snapshot/overlay.ts');
      const { writeFileSync } = await import('node:fs');
      const { spawn } = await import('node:child_process');
      const roots = new OverlayRoots({ work: process.env.WORK, layers: { directory: async () => '/' } });
      const root = await roots.mount([], new AbortController().signal);
      const child = spawn('sleep', ['4713'], { detached: true, stdio: 'ignore' });
      writeFileSync(root.directory + '/pid', String(child.pid));
      console.log(child.pid);
      setInterval(() => undefined, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      env: { ...process.env, WORK: work },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const left = Number(line.toString());
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(existsSync(`/proc/${left}`)).to.equal(true);

    const { roots } = openRoots([], work);
    await (await roots.mount([], never))[Symbol.asyncDispose]();

    await roots.close();
    process.kill(left, 'SIGKILL');
    await waitUntil(() => !existsSync(`/proc/${left}`) || isZombie(left));
  });
});

async function waitUntil(condition: () => boolean): Promise<void> {
  const until = Date.now() + 2000;
  while (!condition()) {
    if (Date.now() > until) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function isZombie(pid: number): boolean {
  return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}
