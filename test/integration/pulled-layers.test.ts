import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, runCommand, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import {
  type HostileRegistry,
  sends,
  serveImage,
  sha256,
  startHostileRegistry,
} from '../kit/hostile-registry.js';
import { needs } from '../kit/needs.js';
import { straceFlags, systemCallsOf } from '../kit/system-calls.js';
import { rawTar } from '../kit/tar.js';
import { tmpDir } from '../kit/tmp-dir.js';

const GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip';
/** Layers of this size are unpacked by threads while they arrive. */
const BIG_BYTES = 5 << 20;

describe('big layers of pulled images', function () {
  this.timeout(120_000);
  let registry: HostileRegistry;
  const noise = randomBytes(BIG_BYTES);

  before(async function () {
    needs(this, 'root', { program: 'busybox' });
    registry = await startHostileRegistry();
  });

  after(() => registry?.stop());

  const packed = (tar: Buffer) => ({
    blob: gzipSync(tar, { level: 1 }),
    diffId: sha256(tar),
    mediaType: GZIP,
  });

  /** A root file system with every kind of attribute, as GNU tar packs it. */
  function baseLayer() {
    const rootfs = makeBaseRootfs(tmpDir());
    mkdirSync(join(rootfs, 'data'));
    writeFileSync(join(rootfs, 'data/noise'), noise);
    writeFileSync(join(rootfs, 'data/gone'), 'gone');
    writeFileSync(join(rootfs, 'data/owned'), 'x');
    chownSync(join(rootfs, 'data/owned'), 1000, 50);
    chmodSync(join(rootfs, 'data/owned'), 0o6711);
    writeFileSync(join(rootfs, 'data/none'), 'x');
    chmodSync(join(rootfs, 'data/none'), 0);
    writeFileSync(join(rootfs, 'data/open'), 'x');
    chmodSync(join(rootfs, 'data/open'), 0o666);
    linkSync(join(rootfs, 'data/open'), join(rootfs, 'data/linked'));
    mkdirSync(join(rootfs, 'shared'));
    chownSync(join(rootfs, 'shared'), 0, 50);
    chmodSync(join(rootfs, 'shared'), 0o2775);
    writeFileSync(join(rootfs, 'shared/roots'), 'x');
    chownSync(join(rootfs, 'shared/roots'), 0, 0);
    const flags = ['--numeric-owner', '--mtime=@1000000000', '--sort=name', '-c'];
    return execFileSync('tar', [...flags, '-C', rootfs, '.'], { maxBuffer: 1 << 26 });
  }

  const context = (...lines: string[]) =>
    makeContext({ Dockerfile: [`FROM ${registry.host}/x`, ...lines, ''].join('\n') });

  function leftBelow(root: string): string[] {
    return readdirSync(join(root, 'snapshots'), { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.split('/').length <= 2 && (path.startsWith('.') || path.endsWith('/fs')),
    );
  }

  it('leave the kernel’s memory behind the threads that unpack them, where nothing is to be exported', async function () {
    needs(this, { program: 'strace' });
    serveImage(registry, 'x', { layers: [packed(baseLayer())] });
    const archive = join(tmpDir(), 'out.tar');
    for (const [args, isForgotten] of [
      [['-t', 'x'], true],
      [['-o', `type=oci,dest=${archive}`], false],
    ] as const) {
      const trace = join(tmpDir(), 'trace');
      const root = tmpDir();
      const command = [TSBUILD, context('RUN true'), ...args, '--root', root];
      await mustRun('strace', ['-f', '-o', trace, '-e', 'trace=fadvise64', ...command]);
      expect(readFileSync(trace, 'utf8').includes('POSIX_FADV_DONTNEED'), args[0]).to.equal(isForgotten);
    }
  });

  it('are unpacked by threads, with all attributes', async function () {
    needs(this, { program: 'strace' });
    const above = rawTar(
      { name: 'data/.wh.gone', body: '' },
      { name: 'data/open', body: 'replaced' },
      { name: 'more', body: noise },
    );
    serveImage(registry, 'x', { layers: [packed(baseLayer()), packed(above)] });
    const [root, trace] = [tmpDir(), join(tmpDir(), 'trace')];
    const check = [
      'stat -c "%n %a %u:%g %Y %h" /data/owned /data/none /data/linked /shared /shared/roots',
      'cat /data/open; echo',
      'cmp /data/noise /more && ls /data',
    ];
    const args = [...straceFlags(trace), '-e', 'trace=openat,clone,clone3', TSBUILD];
    const build = [context(`RUN (${check.join('; ')}) | tee /result`), '-t', 'x', '--progress=plain'];
    const { status, stderr } = await runCommand('strace', [...args, ...build], {
      env: { TSBUILD_ROOT: root },
    });
    expect(status, stderr).to.equal(0);
    const { stdout } = await tsbuildIn(root).must(['run', 'x', 'cat', '/result']);
    expect(stdout.trim().split('\n')).to.deep.equal([
      '/data/owned 6711 1000:50 1000000000 1',
      '/data/none 0 0:0 1000000000 1',
      '/data/linked 666 0:0 1000000000 2',
      '/shared 2775 0:50 1000000000 2',
      '/shared/roots 644 0:0 1000000000 1',
      'replaced',
      'linked',
      'noise',
      'none',
      'open',
      'owned',
    ]);
    const opened = systemCallsOf(trace).filter(({ text }) => text.includes('unpack-thread.cjs'));
    expect(opened, 'threads').not.to.have.length(0);
  });

  it('are listed anew where their listing is lost or none, and after a build that found it damaged', async () => {
    const many = Array.from({ length: 2_000 }, (_, i) => ({ name: `many/${'0'.repeat(80)}${i}`, body: '' }));
    const above = rawTar({ name: 'many/', flag: '5' }, ...many, { name: 'more', body: noise });
    serveImage(registry, 'x', { layers: [packed(baseLayer()), packed(above)] });
    const root = tmpDir();
    const tsbuild = tsbuildIn(root);
    await tsbuild.must([context('RUN true'), '-q']);
    const listings = readdirSync(join(root, 'snapshots'))
      .filter((layer) => existsSync(join(root, 'snapshots', layer, 'fs')))
      .map((layer) => join(root, 'snapshots', layer, 'listing'));
    const copy = (text: string) => {
      const dir = context('COPY f /many/');
      writeFileSync(join(dir, 'f'), text);
      return tsbuild.run([dir, '-t', 'copied', '-q']);
    };
    const changes: readonly (readonly [what: string, status: number, change: (path: string) => void])[] = [
      ['lost', 0, (path) => rmSync(path)],
      ['none', 0, (path) => writeFileSync(path, `${'0'.repeat(64)}\n{"entries":[],"impliedDirectories":[]}`)],
      [
        'damaged',
        4,
        (path) => {
          const data = readFileSync(path);
          data[30]! ^= 1;
          writeFileSync(path, data);
        },
      ],
    ];
    expect(listings).to.have.length.of.at.least(2);
    for (const [what, status, change] of changes) {
      listings.forEach(change);
      const first = await copy(`${what}\n`);
      expect(first.status, first.stderr).to.equal(status);
      if (status !== 0) expect(first.stderr).to.contain('[STORE_DAMAGED');
      const second = await copy(`${what} again\n`);
      expect(second.status, second.stderr).to.equal(0);
      expect((await tsbuild.must(['run', 'copied', 'cat', '/many/f'])).stdout).to.equal(`${what} again\n`);
    }
  });

  const wrong: [
    what: string,
    code: string,
    layer: () => { blob: Buffer; diffId?: string; mediaType?: string },
  ][] = [
    [
      'that are not the ones that the config names',
      'BLOB_CORRUPT',
      () => ({ ...packed(rawTar({ name: 'f', body: noise })), diffId: sha256('another') }),
    ],
    [
      'whose compressed data is cut short',
      'COMPRESSION_INVALID',
      () => {
        const whole = packed(rawTar({ name: 'f', body: noise }));
        return { ...whole, blob: whole.blob.subarray(0, -1000) };
      },
    ],
    [
      'that reach out of their root',
      'TAR_INVALID',
      () => packed(rawTar({ name: 'f', body: noise }, { name: '../../evil', body: 'x' })),
    ],
  ];
  for (const [what, code, layer] of wrong) {
    it(`${what} end in ${code}, and nothing of them stays`, async () => {
      serveImage(registry, 'x', { layers: [layer()] });
      const root = tmpDir();
      const { status, stderr } = await tsbuildIn(root).run([context('RUN true')]);
      expect(status, stderr).to.equal(4);
      expect(stderr).to.contain(`[${code}`);
      expect(leftBelow(root)).to.deep.equal([]);
    });
  }

  it('with other bytes than their digest says end in BLOB_CORRUPT', async () => {
    const layer = packed(rawTar({ name: 'f', body: noise }));
    serveImage(registry, 'x', { layers: [layer] });
    const other = Buffer.from(layer.blob);
    other[other.length - 6]! ^= 1;
    registry.answers.set(`/v2/x/blobs/${sha256(layer.blob)}`, sends(other));
    const root = tmpDir();
    const { status, stderr } = await tsbuildIn(root).run([context('RUN true')]);
    expect(status, stderr).to.equal(4);
    expect(stderr).to.contain('[BLOB_CORRUPT');
    expect(leftBelow(root)).to.deep.equal([]);
    const blobs = readdirSync(join(root, 'content/blobs/sha256'));
    expect(blobs).not.to.include(sha256(layer.blob).slice('sha256:'.length));
    expect(readdirSync(join(root, 'content/ingest'))).to.deep.equal([]);
  });

  it('that are on their way when the build is interrupted leave nothing', async () => {
    const layer = packed(rawTar({ name: 'f', body: noise }, { name: 'g', body: noise }));
    serveImage(registry, 'x', { layers: [layer] });
    let halfSent: () => void;
    const half = new Promise<void>((resolve) => (halfSent = resolve));
    registry.answers.set(`/v2/x/blobs/${sha256(layer.blob)}`, (_request, response) => {
      response.writeHead(200, { 'content-length': layer.blob.length });
      response.write(layer.blob.subarray(0, layer.blob.length / 2), () => halfSent());
    });
    const root = tmpDir();
    let pid = 0;
    const run = tsbuildIn(root).run([context('RUN true')], { onStart: (started) => (pid = started) });
    await half;
    process.kill(pid, 'SIGINT');
    const { status, stderr } = await run;
    expect(status, stderr).to.equal(130);
    expect(leftBelow(root)).to.deep.equal([]);
  });
});
