import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildBase } from '../kit/base-context.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { signalOnce } from '../kit/machine-state.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** More files, and more bytes, than a turn of the event loop takes: what is small passes in one. */
const FILES = 5_000;
const BYTES = 40 << 20;

function makeTree(directory: string): void {
  mkdirSync(directory);
  for (let i = 0; i < FILES; i++) {
    const parent = join(directory, `d${i % 50}`);
    if (i < 50) mkdirSync(parent);
    writeFileSync(join(parent, `f${i}`), `${i}\n`);
  }
  writeFileSync(join(directory, 'big'), randomBytes(BYTES));
  linkSync(join(directory, 'big'), join(directory, 'linked'));
}

describe('what is large', function () {
  this.timeout(120_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);
  const context = makeContext({});
  const tree = join(context, 'tree');

  before(async () => {
    makeTree(tree);
    execFileSync('tar', ['-czf', join(context, 'tree.tar.gz'), '-C', context, 'tree']);
    await buildBase(tsbuild);
  });

  /** Each instruction leaves the same tree in `/out/tree`. */
  const CASES = {
    COPY: 'FROM scratch\nCOPY tree /out/tree\n',
    'COPY with owner and mode': 'FROM scratch\nCOPY --chown=0:0 --chmod=u+w tree /out/tree\n',
    'ADD of an archive': 'FROM scratch\nADD tree.tar.gz /out/\n',
    'ADD of an archive onto a copy': 'FROM scratch\nCOPY tree /out/tree\nADD tree.tar.gz /out/\n',
    'COPY --from of an archive':
      'FROM scratch AS a\nADD tree.tar.gz /a/\nFROM scratch\nCOPY --from=a /a/tree /out/tree\n',
    RUN: 'FROM base\nCOPY tree /in\nRUN mkdir /out && cp -a /in /out/tree\n',
    'RUN on what a RUN made':
      'FROM base\nRUN --mount=target=/in cp -a /in/tree /tree\nRUN mkdir /out && mv /tree /out/\n',
  };
  for (const [name, text] of Object.entries(CASES))
    it(`${name}: every file arrives`, async () => {
      const dockerfile = join(tmpDir(), 'Dockerfile');
      const dest = tmpDir();
      writeFileSync(dockerfile, text);
      await tsbuild.must([context, '-f', dockerfile, '-q', '-o', `type=local,dest=${dest}`]);
      execFileSync('diff', ['-r', tree, join(dest, 'out/tree')]);
      expect(readdirSync(join(root, 'work'))).to.deep.equal([]);
    });

  it('goes through archives and back', async () => {
    const archive = join(tmpDir(), 'out.tar');
    const dockerfile = join(tmpDir(), 'Dockerfile');
    writeFileSync(dockerfile, CASES['ADD of an archive']);
    for (const type of ['docker', 'oci']) {
      await tsbuild.must([
        context,
        '-t',
        'again',
        '-f',
        dockerfile,
        '-q',
        '-o',
        `type=${type},dest=${archive}`,
      ]);
      const other = tsbuildIn(tmpDir());
      await other.must(['load', '-i', archive]);
      const dest = tmpDir();
      const from = makeContext({ Dockerfile: 'FROM again\n' });
      await other.must([from, '-q', '-o', `type=local,dest=${dest}`]);
      execFileSync('diff', ['-r', tree, join(dest, 'out/tree')]);
    }
  });

  it('Ctrl-C does not wait for the hash of a large file', async () => {
    const huge = makeContext({ Dockerfile: 'FROM scratch\nCOPY huge /\n', huge: '' });
    const path = join(huge, 'huge');
    truncateSync(path, 64 * 2 ** 30);
    const { onStart, sentMs } = signalOnce('SIGINT', (pid) => hasOpen(pid, path));
    const result = await tsbuild.run([huge], { onStart });
    expect(result.status).to.equal(130);
    expect(performance.now() - sentMs()).to.be.below(3_000);
    expect(readdirSync(join(root, 'work'))).to.deep.equal([]);
  });
});

function hasOpen(pid: number, path: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === path);
  } catch {
    // A descriptor was closed meanwhile.
    return false;
  }
}
