import { expect } from 'chai';
import { readdirSync, readFileSync, statSync, writeFileSync, chmodSync, lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreCheck } from '../../src/doctor.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { runAsStoreOwner } from '../kit/store-owner.js';
import { tmpDir } from '../kit/tmp-dir.js';

const root = tmpDir();
const tsbuild = tsbuildIn(root);
const baseTar = join(tmpDir(), 'base.tar');
const blobsOfBase: string[] = [];
const context = makeContext({
  Dockerfile: [
    'FROM base',
    'COPY a.txt /data/',
    'RUN echo made > /data/b.txt && ln -s b.txt /data/link && chmod 640 /data/b.txt && rm /etc/profile',
    'RUN cp /data/b.txt /data/c.txt',
  ].join('\n'),
  'a.txt': 'a\n',
});

async function checkStore(...flags: string[]): Promise<{ status: number | null; check: StoreCheck }> {
  const { status, stdout } = await tsbuild.run(['doctor', '--store', '--format', 'json', ...flags]);
  return { status, check: JSON.parse(stdout) as StoreCheck };
}

/** Builds and gives the text of the three files, so that a wrong cache shows. */
async function buildAndRead(): Promise<string> {
  await tsbuild.must(['build', context, '-t', 'app', '--progress', 'quiet']);
  const { stdout } = await tsbuild.must(['run', 'app', 'sh', '-c', 'cat /data/*; ls /etc/profile || true']);
  return stdout;
}

function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** A file of a layer's directory: the one that the RUN made. */
function madeFile(name = 'b.txt'): string {
  const found = readdirSync(join(root, 'snapshots'))
    .map((layer) => join(root, 'snapshots', layer, 'fs/data', name))
    .find((path) => lstatSync(path, { throwIfNoEntry: false }));
  if (found === undefined) throw new Error(`no layer has ${name}`);
  return found;
}

function flipByte(path: string): void {
  const data = readFileSync(path);
  data[data.length >> 1]! ^= 1;
  writeFileSync(path, data);
}

function editImageList(what: RegExp, replacement: string): void {
  const path = join(root, 'content/index.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace(what, replacement));
}

describe('doctor', () => {
  before(async function () {
    needs(this, 'builder', { program: 'crun' });
    await mustRun('tar', ['-C', makeBaseRootfs(), '-cf', baseTar, '.']);
    await tsbuild.must(['import', baseTar, 'base']);
    blobsOfBase.push(...filesIn(join(root, 'content/blobs')));
    expect(await buildAndRead()).to.equal('a\nmade\nmade\nmade\n');
  });

  it('examines the machine', async () => {
    const { stdout, status } = await tsbuild.run(['doctor']);
    expect(stdout).to.match(/^ok +kernel +\d+\.\d+/m);
    expect(status).to.be.oneOf([0, 1]);
  });

  it('finds nothing in a store that builds wrote', async () => {
    const { status, check } = await checkStore();
    expect(check.damages).to.deep.equal([]);
    expect(status).to.equal(0);
    expect(check.counts).to.include({ images: 2, layers: 4 });
    expect(check.counts.blobs).to.be.greaterThan(5);
    expect(check.counts.records).to.be.greaterThan(3);
  });

  const damages: readonly [what: string, kind: string, problem: RegExp, make: () => void][] = [
    ['a byte of a file', 'layer', /"data\/b.txt" has other content/, () => flipByte(madeFile())],
    ['a mode', 'layer', /"data\/b.txt" has the mode 777, not 640/, () => chmodSync(madeFile(), 0o777)],
    ['a lost file', 'layer', /"data\/b.txt" is missing/, () => rmSync(madeFile())],
    [
      'a longer file',
      'layer',
      /"data\/b.txt" has 7 bytes, not 5/,
      () => writeFileSync(madeFile(), 'longer\n'),
    ],
    [
      'a lost link',
      'layer',
      /"data\/link" is no symlink/,
      () => {
        const link = madeFile('link');
        rmSync(link);
        writeFileSync(link, '');
      },
    ],
    [
      'a lost whiteout',
      'layer',
      /"etc\/profile" should hide a file and is missing/,
      () => runAsStoreOwner('rm', [join(madeFile(), '../../etc/profile')]),
    ],
    [
      'a listing',
      'layer',
      /listing does not have its checksum/,
      () => flipByte(join(madeFile(), '../../../listing')),
    ],
    ['every record', 'record', /checksum/, () => filesIn(join(root, 'records')).forEach(flipByte)],
    [
      'every blob',
      'blob',
      /does not have the digest of its name/,
      () =>
        filesIn(join(root, 'content/blobs'))
          .filter((path) => !blobsOfBase.includes(path))
          .forEach(flipByte),
    ],
    [
      'the list of images',
      'image',
      /cannot be read/,
      () => writeFileSync(join(root, 'content/index.json'), '{'),
    ],
    [
      'a media type in the list of images',
      'image',
      /says to be "application\/vnd.oci.image.manifest.v1\+json", and its descriptor "application\/vnd.oci.image.manifest,v1\+json"/,
      () => editImageList(/manifest\.v1/g, 'manifest,v1'),
    ],
    [
      'a size in the list of images',
      'image',
      /says that its manifest has 1\d+ bytes, and it has \d+/,
      () => editImageList(/"size":/g, '"size":1'),
    ],
  ];
  for (const [what, kind, problem, make] of damages) {
    it(`names ${what} and sets it aside; the next build makes it again`, async () => {
      make();
      const { status, check } = await checkStore();
      expect(status).to.equal(4);
      expect(check.damages.map((damage) => damage.kind)).to.include(kind);
      expect(check.damages.map((damage) => damage.problem).join('\n')).to.match(problem);
      for (const { setAside } of check.damages) if (setAside) expect(statSync(setAside)).to.be.an('object');
      expect((await checkStore()).check.damages).to.deep.equal([]);
      if (what.endsWith('the list of images')) await tsbuild.must(['import', baseTar, 'base']);
      expect(await buildAndRead()).to.equal('a\nmade\nmade\nmade\n');
      expect((await checkStore()).check.damages).to.deep.equal([]);
    });
  }

  it('knows what was looked at for a selection of many files, and where that is damaged', async () => {
    const tree = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`tree/f${i}`, `${i}`]));
    const many = makeContext({ Dockerfile: 'FROM scratch\nCOPY tree /tree\n', ...tree });
    // What is younger is not remembered.
    await sleep(2_100);
    await tsbuild.must(['build', many, '-q']);
    const large = filesIn(join(root, 'stat')).filter((path) => statSync(path).size > 10_000);
    const memos = large.filter((path) => readFileSync(path).subarray(0, 4).includes('1mst'));
    expect(memos).to.have.length(1);
    expect((await checkStore()).check.damages).to.deep.equal([]);

    const data = readFileSync(memos[0]!);
    data[30]! ^= 1;
    writeFileSync(memos[0]!, data);
    const { status, check } = await checkStore();

    expect(status).to.equal(4);
    expect(check.damages.map(({ kind }) => kind)).to.deep.equal(['stat index']);
  });

  it('reads no contents with --quick', async () => {
    flipByte(madeFile());
    expect((await checkStore('--quick')).status).to.equal(0);
    expect((await checkStore()).status).to.equal(4);
  });

  it('says it to people', async () => {
    await buildAndRead();
    writeFileSync(madeFile(), 'longer\n');
    const { stdout, status } = await tsbuild.run(['doctor', '--store']);
    expect(status).to.equal(4);
    expect(stdout).to.match(
      /^damaged {2}layer snapshots\/[0-9a-f]{64}: "data\/b.txt" has 7 bytes, not 5\n +set aside as \//,
    );
    expect(stdout).to.match(/1 damaged of \d+ blobs, 2 images/);
  });
});
