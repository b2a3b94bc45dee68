import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { build, loadImages, saveImages } from '../../src/index.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('an image of the local store', () => {
  const tsbuild = tsbuildIn(tmpDir());
  let id: string;

  before(async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nLABEL a=b\n' });
    id = (await tsbuild.must([context, '-q', '-t', 'app:1'])).stdout.trim();
    writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nLABEL a=c\n');
    await tsbuild.must([context, '-q', '-t', 'other']);
  });

  const idOf = async (name: string) =>
    (JSON.parse((await tsbuild.must(['inspect', name])).stdout) as { Id: string }[])[0]!.Id;

  it('is found by the ID that build and images print, whole or cut', async () => {
    const digits = id.slice('sha256:'.length);
    for (const name of [id, digits, id.slice(0, 30), digits.slice(0, 12), 'app:1'])
      expect(await idOf(name), name).to.equal(id);
    expect((await tsbuild.must(['history', digits.slice(0, 12)])).stdout).to.include('LABEL a=b');
  });

  it('is found by the digest of its manifest', async () => {
    const [{ RepoDigests }] = JSON.parse((await tsbuild.must(['inspect', id])).stdout) as [
      { RepoDigests: string[] },
    ];
    expect(await idOf(RepoDigests[0]!.split('@')[1]!)).to.equal(id);
  });

  it('is not found by the end of its ID', async () => {
    const { status, stderr } = await tsbuild.run(['inspect', id.slice(-20)]);
    expect([status, stderr.includes('IMAGE_NOT_FOUND')], stderr).to.deep.equal([1, true]);
  });

  it('has one digest for each repository, and loses one name at a time', async () => {
    await tsbuild.must(['tag', id, 'app:2']);
    const [{ RepoTags, RepoDigests }] = JSON.parse((await tsbuild.must(['inspect', id])).stdout) as [
      { RepoTags: string[]; RepoDigests: string[] },
    ];
    expect([RepoTags, RepoDigests.length]).to.deep.equal([['app:1', 'app:2'], 1]);
    const { status, stderr } = await tsbuild.run(['rmi', id]);
    expect([status, /has 2 names\nhint: give one of them: app:1, app:2/.test(stderr)], stderr).to.deep.equal([
      2,
      true,
    ]);
    await tsbuild.must(['rmi', 'app:1']);
    await tsbuild.must(['rmi', id]);
    // What it is made of stays until it is pruned.
    const [left] = JSON.parse((await tsbuild.must(['inspect', id])).stdout) as { RepoTags: string[] }[];
    expect(left!.RepoTags).to.deep.equal([]);
    await tsbuild.must(['prune', '-f', '-a']);
    expect((await tsbuild.run(['inspect', id])).status).to.equal(1);
  });

  it('keeps its names when one with a digest is to be taken away', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nLABEL a=kept\n' });
    await tsbuild.must([context, '-q', '-t', 'kept']);
    const [{ RepoDigests }] = JSON.parse((await tsbuild.must(['inspect', 'kept'])).stdout) as [
      { RepoDigests: string[] },
    ];
    const { status, stderr } = await tsbuild.run(['rmi', RepoDigests[0]!]);
    expect([status, stderr.includes('IMAGE_NOT_FOUND')], stderr).to.deep.equal([1, true]);
    await tsbuild.must(['rmi', 'kept']);
  });

  describe('without a name', () => {
    let unnamed: string;

    before(async () => {
      const context = makeContext({ Dockerfile: 'FROM scratch\nLABEL a=unnamed\n' });
      unnamed = (await tsbuild.must([context, '-q'])).stdout.trim();
    });

    it('is found by its ID, and gets a name', async () => {
      expect(await idOf(unnamed)).to.equal(unnamed);
      expect(await idOf(unnamed.slice('sha256:'.length, 20))).to.equal(unnamed);
      await tsbuild.must(['tag', unnamed, 'now:named']);
      expect(await idOf('now:named')).to.equal(unnamed);
      await tsbuild.must(['rmi', 'now:named']);
    });

    it('goes through an archive', async () => {
      const archive = join(tmpDir(), 'image.tar');
      await tsbuild.must(['save', unnamed, '-o', archive]);
      const other = tsbuildIn(tmpDir());
      const [, loaded] = (await other.must(['load', '-i', archive])).stdout.trim().split(' ');
      await other.must(['tag', loaded!, 'again']);
      const [{ Id }] = JSON.parse((await other.must(['inspect', 'again'])).stdout) as [{ Id: string }];
      expect(Id).to.equal(unnamed);
    });

    it('has none to push it to, and none to take away', async () => {
      for (const command of ['push', 'rmi']) {
        const { status, stderr } = await tsbuild.run([command, unnamed]);
        expect([status, stderr.includes('has no name')], stderr).to.deep.equal([2, true]);
      }
    });
  });
});

describe('an archive that is loaded', () => {
  let archive: string;
  let files: string;

  before(async () => {
    const dir = tmpDir();
    archive = join(dir, 'good.tar');
    files = join(dir, 'files');
    mkdirSync(files);
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY a /a\n', a: 'a\n' });
    await build({ context, tags: ['a:1'], outputs: [{ type: 'docker', dest: archive }], root: tmpDir() });
    execFileSync('tar', ['-xf', archive, '-C', files]);
  });

  const filesIn = (root: string, ...path: string[]) =>
    readdirSync(join(root, 'content', ...path), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);

  it('that has no image leaves alone what another load took meanwhile, and nothing of its own', async () => {
    const root = tmpDir();
    writeFileSync(join(files, 'last'), Buffer.alloc(100_000, 'x'));
    const names = readdirSync(files).filter(
      (name) => !['manifest.json', 'index.json', 'last'].includes(name),
    );
    const tar = execFileSync('tar', ['-c', '-C', files, ...names, 'last'], { maxBuffer: 64 << 20 });
    const members = execFileSync('tar', ['-t'], { input: tar, encoding: 'utf8' }).trim().split('\n');
    const count = members.filter((name) => !name.endsWith('/')).length;
    const stdin = new PassThrough();
    const failure = loadImages({ root, input: '-', stdin }).catch((error: unknown) => error);
    const [begin, end] = [tar.subarray(0, -60_000), tar.subarray(-60_000)];
    stdin.write(begin);
    const arrived = () => filesIn(root, 'ingest').length + filesIn(root, 'blobs', 'sha256').length;
    while (!existsSync(join(root, 'content/ingest')) || arrived() < count) await sleep(10);

    expect(await loadImages({ root, input: archive })).to.deep.equal(['docker.io/library/a:1']);
    stdin.end(end);
    expect(await failure).to.have.property('code', 'MANIFEST_INVALID');
    await saveImages(['a:1'], { root, output: join(tmpDir(), 'out.tar') });
    expect(filesIn(root, 'ingest')).to.deep.equal([]);
    expect(filesIn(root, 'blobs', 'sha256'), 'layer, config and manifest').to.have.length(3);
  });
});
