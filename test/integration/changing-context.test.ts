import { expect } from 'chai';
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeChecked } from '../../src/cache/checked-file.js';
import { digestHex, digestOf } from '../../src/oci/digest.js';
import { build, type BuildOptions, type ProgressEvent } from '../../src/index.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { readDockerArchive } from '../kit/image-tree.js';
import { tmpDir } from '../kit/tmp-dir.js';

const DOCKERFILE = 'FROM scratch\nCOPY first /first\nCOPY later /later\n';

describe('a context that changes during the build', () => {
  before(function () {
    needs(this, 'builder', { program: 'skopeo' }, { program: 'umoci' });
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
    rememberWrongly(join(root, 'stat'), context, 'later', '0'.repeat(64));
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

/** Makes the index say of the file, as it is now, that it has that digest. */
function rememberWrongly(directory: string, context: string, path: string, hex: string): void {
  const { size, mtimeMs, ctimeMs, ino } = statSync(join(context, path));
  const name = digestHex(digestOf(context));
  writeChecked(join(directory, name), JSON.stringify([[path, size, mtimeMs, ctimeMs, ino, hex]]));
}

function readIndex(directory: string): string {
  return readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
}
