import { expect } from 'chai';
import { execFileSync, spawn } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ContentStore } from '../../src/cache/content-store.js';
import { openStateRoot } from '../../src/cache/state-root.js';
import type { BuildError } from '../../src/errors.js';
import { LayerWriter } from '../../src/worker/snapshot/layer-writer.js';
import { LocalContext } from '../../src/worker/source/local-context.js';
import { StatIndex } from '../../src/worker/source/stat-index.js';
import type { Digest } from '../../src/oci/digest.js';
import { build, type BuildOptions, type ProgressEvent } from '../../src/index.js';
import { codeOf } from '../kit/code-of.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { readDockerArchive } from '../kit/image-tree.js';
import { endChild } from '../kit/registry.js';
import { tmpDir } from '../kit/tmp-dir.js';

const DOCKERFILE = 'FROM scratch\nCOPY first /first\nCOPY later /later\n';

describe('a context that changes during the build', () => {
  before(function () {
    needs(this, 'mounts', { program: 'skopeo' }, { program: 'umoci' });
  });

  const archive = () => join(tmpDir(), 'image.tar');

  async function buildTo(dest: string, options: Pick<BuildOptions, 'context' | 'root' | 'onProgress'>) {
    return build({ ...options, outputs: [{ type: 'docker', dest }] });
  }

  async function sizeOfLater(dest: string): Promise<number | undefined> {
    return (await readDockerArchive(dest)).tree['/later']?.size;
  }

  it('is planned again when a file is another one than was hashed', async () => {
    const context = makeContext({ Dockerfile: DOCKERFILE, first: 'first\n', later: 'before\n' });
    const notes: string[] = [];
    let isChanged = false;
    const onProgress = (event: ProgressEvent) => {
      if (event.kind === 'note') notes.push(event.message);
      // Everything is hashed before anything is copied.
      if (event.kind !== 'started' || isChanged) return;
      isChanged = true;
      writeFileSync(join(context, 'later'), 'after, and longer\n');
    };
    const dest = archive();
    const root = tmpDir();
    await buildTo(dest, { context, root, onProgress });
    expect(notes.join('\n')).to.contain('"later" changed while it was copied; planning the build again');
    expect(await sizeOfLater(dest)).to.equal('after, and longer\n'.length);
    const { stats } = await buildTo(archive(), { context, root });
    expect(stats.executed).to.equal(0);
  });

  it('is read again where the stat index remembers another content of the same times and size', async () => {
    const context = makeContext({ Dockerfile: DOCKERFILE, first: 'first\n', later: 'before\n' });
    const root = tmpDir();
    await buildTo(archive(), { context, root });
    writeFileSync(join(context, 'later'), 'behind\n');
    rememberWrongly(join(root, 'stat'), context, 'later', `sha256:${'0'.repeat(64)}`);
    expect(readIndex(join(root, 'stat'))).to.contain('0'.repeat(64));
    const dest = archive();
    await buildTo(dest, { context, root });
    expect(await sizeOfLater(dest)).to.equal('behind\n'.length);
    expect(readIndex(join(root, 'stat'))).to.not.contain('0'.repeat(64));
  });

  it('is hashed anew while its times lie in the future, whatever the clock says', async () => {
    const context = makeContext({ Dockerfile: DOCKERFILE, first: 'first\n', later: 'before\n' });
    const future = Date.now() / 1000 + 86_400;
    const root = tmpDir();
    const ids = new Set<string>();
    for (const text of ['one\n', 'two\n', 'six\n']) {
      writeFileSync(join(context, 'later'), text);
      utimesSync(join(context, 'later'), future, future);
      const { platforms } = await buildTo(archive(), { context, root });
      ids.add(String(platforms[0]!.imageId));
      expect(readIndex(join(root, 'stat'))).to.not.contain('"later"');
    }
    expect(ids.size).to.equal(3);
  });
});

describe('a context whose files vanish', () => {
  const seen = () => {
    const directory = makeContext({ f: 'text\n', 'd/g': 'x', l: { link: 'f' } });
    const context = new LocalContext(directory, [], { statRoot: tmpDir() });
    expect(context.list('').map((path) => context.lookup(path)?.type)).to.deep.equal([
      'directory',
      'file',
      'symlink',
    ]);
    return { directory, context };
  };

  for (const [what, change] of [
    ['vanished', () => undefined],
    ['is a link out by now', (path: string) => symlinkSync('/etc/hostname', path)],
    ['is a directory by now', (path: string) => mkdirSync(path)],
  ] as const) {
    it(`is told of a file that ${what} before it was read`, async () => {
      const { directory, context } = seen();
      rmSync(join(directory, 'f'));
      change(join(directory, 'f'));
      expect(await codeOf((async () => context.digest('f'))())).to.equal('CONTEXT_CHANGED');
    });
  }

  it('does not wait for a file that became a fifo, nor take it', async () => {
    const { directory, context } = seen();
    const entry = context.lookup('f')!;
    rmSync(join(directory, 'f'));
    execFileSync('mkfifo', [join(directory, 'f')]);
    const digest = await context.digest('f');
    const state = openStateRoot(tmpDir());
    const writer = new LayerWriter(new ContentStore(state.content), () => undefined);
    const copy = async () => writer.add({ ...entry, digest }, context.content('f', entry));
    expect(await codeOf(copy())).to.equal('CONTEXT_CHANGED');
    writer.abort();
  });

  it('is told of a directory and a link that vanished', async () => {
    const { directory, context } = seen();
    rmSync(join(directory, 'd'), { recursive: true });
    expect(await codeOf((async () => context.list('d'))())).to.equal('CONTEXT_CHANGED');
    rmSync(join(directory, 'l'));
    expect(await codeOf((async () => context.resolve('l', true))())).to.equal('CONTEXT_CHANGED');
  });

  it('is planned again without what vanished before it was copied', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY d /d\n', 'd/first': 'x', 'd/later': 'y' });
    const notes: string[] = [];
    const onProgress = (event: ProgressEvent) => {
      if (event.kind === 'note') notes.push(event.message);
      if (event.kind === 'started') rmSync(join(context, 'd/later'), { force: true });
    };
    const dest = join(tmpDir(), 'out');
    await build({ context, root: tmpDir(), outputs: [{ type: 'local', dest }], onProgress });
    expect(notes.join('\n')).to.contain('"d/later" changed while it was copied; planning the build again');
    expect(readdirSync(join(dest, 'd'))).to.deep.equal(['first']);
  });

  it('ends in an image or a clear error while others make and remove files all the time', async function () {
    this.timeout(60_000);
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    const churn =
      'cd "$0"; i=0; while :; do i=$((i+1)); d=d$((i%5)); mkdir -p $d/e; for f in a b c; do echo $i > $d/e/$f; done; ln -sf a $d/l; rm -rf d$(((i+2)%5)); done';
    const child = spawn('sh', ['-c', churn, context], { stdio: 'ignore' });
    try {
      for (let i = 0; i < 10; i++) {
        const ended = build({ context, root: tmpDir(), outputs: [{ type: 'cacheonly' }] });
        const error = await ended.then(
          () => undefined,
          (thrown: unknown) => thrown as BuildError,
        );
        if (error) expect(error.code, error.stack).to.equal('CONTEXT_CHANGED');
      }
    } finally {
      await endChild(child);
    }
  });
});

/** Makes the index say of the file, as it is now, that it has that digest. */
/** As a build of a later day would: what is young is not remembered. */
function rememberWrongly(directory: string, context: string, path: string, digest: Digest): void {
  const now = Date.now;
  Date.now = () => now() + 10_000;
  const index = new StatIndex(directory, context);
  Date.now = now;
  index.remember(path, { ...statSync(join(context, path)), digest });
  index.save();
}

function readIndex(directory: string): string {
  return readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
}
