import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Prune takes what such a layer was unpacked to, and leaves it as it came. */
describe('an image with compressed layers, after prune', () => {
  const context = makeContext({ x: 'x\n' });
  const tsbuild = tsbuildIn(tmpDir());

  before(async () => {
    const maker = tsbuildIn(tmpDir());
    const base = makeContext({
      Dockerfile: 'FROM scratch\nCOPY files /\n',
      'files/etc/passwd': 'bob:x:7:8::/:/bin/sh\n',
      'files/etc/group': 'bob:x:8:\n',
      'files/one': '1\n',
      'files/two': '2\n',
    });
    const archive = join(tmpDir(), 'base.tar');
    await maker.must([base, '-q', '-t', 'base', '-o', `type=oci,compression=gzip,dest=${archive}`]);
    await tsbuild.must(['load', '-i', archive]);
    expect(await build('FROM scratch\nCOPY --from=base /one /\n', 'one')).to.equal('1\n');
  });

  beforeEach(() => tsbuild.must(['prune', '-f']));

  async function build(dockerfile: string, path: string): Promise<string> {
    const [file, dest] = [join(tmpDir(), 'Dockerfile'), tmpDir()];
    writeFileSync(file, dockerfile);
    await tsbuild.must([context, '-f', file, '-q', '-o', `type=local,dest=${dest}`]);
    return readFileSync(join(dest, path), 'utf8');
  }

  it('can be copied from', async () => {
    expect(await build('FROM scratch\nCOPY --from=base /two /\n', 'two')).to.equal('2\n');
  });

  it('can be exported as files', async () => {
    expect(await build('FROM base\nWORKDIR /w\n', 'one')).to.equal('1\n');
  });

  it('has the names of owners', async () => {
    expect(await build('FROM base\nCOPY --chown=bob x /x\n', 'x')).to.equal('x\n');
  });
});
