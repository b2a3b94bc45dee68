import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
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
    expect((await tsbuild.run(['inspect', id])).status).to.equal(1);
  });
});
