import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { runCommand, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { type ContextEntry, makeContext } from '../kit/context.js';
import { GitRepository } from '../kit/git-repository.js';
import { sha256 } from '../kit/hostile-registry.js';
import { needs } from '../kit/needs.js';
import { paxEntry, type RawEntry, rawTar } from '../kit/tar.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** By hand, with more memory: CONTEXT_FILES=1000000 npx mocha test/integration/hostile-context.test.ts -g memory */
const FILES = Number(process.env['CONTEXT_FILES'] ?? 40_000);

const BROKEN = /\[INTERNAL|TypeError|RangeError|\n {4}at /;

describe('contexts and archives that mean harm', () => {
  const root = tmpDir();
  before(function () {
    needs(this, 'builder', { program: 'mkfifo' });
  });

  const build = (context: string, more: readonly string[] = [], env: NodeJS.ProcessEnv = {}) =>
    tsbuildIn(root, env).run(['--progress=plain', ...more, context]);
  const listing = async (entries: Record<string, ContextEntry>, prepare?: (context: string) => void) => {
    const context = makeContext(entries);
    prepare?.(context);
    const output = join(tmpDir(), 'out');
    const { status, stderr } = await build(context, ['-o', output]);
    expect(stderr).not.to.match(BROKEN);
    return { status, stderr, output };
  };

  it('with a fifo are copied without opening it', async () => {
    const made = await listing({ Dockerfile: 'FROM scratch\nCOPY . /\n' }, (context) => {
      execFileSync('mkfifo', [join(context, 'pipe')]);
    });
    expect([made.status, made.stderr]).to.satisfy(([status]: [number]) => status === 0, made.stderr);
  });

  it('with a socket are copied without it', async () => {
    const server = createServer();
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    await new Promise<void>((resolve) => server.listen(join(context, 'socket'), resolve));
    try {
      const output = join(tmpDir(), 'out');
      expect((await build(context, ['-o', output])).status).to.equal(0);
      expect(existsSync(join(output, 'socket'))).to.equal(false);
    } finally {
      server.close();
    }
  });

  for (const [time, mtimeSec, created] of [
    ['@300000000000', 253_402_300_799, '9999-12-31T23:59:59.000Z'],
    ['@9000000000000', 253_402_300_799, '9999-12-31T23:59:59.000Z'],
    ['@-5.5', -6, '1970-01-01T00:00:00.000Z'],
  ] as const) {
    it(`with a file of the time ${time} give a config and files with times that can be written`, async function () {
      if (!existsSync('/dev/shm')) this.skip();
      // Few file systems on disks hold such times.
      const context = mkdtempSync('/dev/shm/tsbuild-test-');
      try {
        writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY f /f\n');
        writeFileSync(join(context, 'f'), time);
        execFileSync('touch', ['-d', time, join(context, 'f')]);
        const [layout, files] = [join(context, 'layout'), join(context, 'files')];
        const outputs = ['-o', `type=oci,tar=false,dest=${layout}`, '-o', `type=local,dest=${files}`];
        const { status, stderr } = await build(context, outputs);
        expect(status, stderr).to.equal(0);
        expect(statSync(join(files, 'f')).mtimeMs).to.equal(mtimeSec * 1000);
        const config = readdirSync(join(layout, 'blobs/sha256'))
          .map((name) => readFileSync(join(layout, 'blobs/sha256', name), 'latin1'))
          .find((text) => text.includes('"rootfs"'));
        expect((JSON.parse(config!) as { created: string }).created).to.equal(created);
      } finally {
        rmSync(context, { recursive: true, force: true });
      }
    });
  }

  for (const epoch of ['300000000000', '999999999999999', '-999999999999999'])
    it(`with SOURCE_DATE_EPOCH=${epoch} give a config with a time of RFC 3339`, async () => {
      const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /f\n' });
      const layout = join(tmpDir(), 'layout');
      const output = ['-o', `type=oci,tar=false,dest=${layout}`, '--build-arg', `SOURCE_DATE_EPOCH=${epoch}`];
      const { status, stderr } = await build(context, output);
      expect(status, stderr).to.equal(0);
      const config = readdirSync(join(layout, 'blobs/sha256'))
        .map((name) => readFileSync(join(layout, 'blobs/sha256', name), 'latin1'))
        .find((text) => text.includes('"rootfs"'));
      expect((JSON.parse(config!) as { created: string }).created).to.match(/^\d{4}-\d\d-\d\dT[\d:]{8}Z$/);
    });

  it('with a Dockerfile that is a fifo or a directory end at once', async () => {
    for (const make of [
      (context: string) => void execFileSync('mkfifo', [join(context, '.dockerignore')]),
      (context: string) => {
        rmSync(join(context, 'Dockerfile'));
        mkdirSync(join(context, 'Dockerfile'));
      },
    ]) {
      const { status, stderr } = await listing({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' }, make);
      expect([0, 2], stderr).to.include(status);
    }
  });

  it('with a Dockerfile of 100 MB are refused', async () => {
    const { status, stderr } = await listing({ Dockerfile: '' }, (context) => {
      execFileSync('truncate', ['-s', '100M', join(context, 'Dockerfile')]);
    });
    expect([status, stderr.includes('DOCKERFILE_SYNTAX')], stderr).to.deep.equal([2, true]);
  });

  it('with loops of links end in an error', async () => {
    const { status, stderr } = await listing({
      Dockerfile: 'FROM scratch\nCOPY a/x /\n',
      a: { link: 'b' },
      b: { link: 'a' },
    });
    expect(status, stderr).to.equal(1);
    expect(stderr).to.match(/loop of symbolic links|not found/);
  });

  it('with links that point out copy nothing from there', async () => {
    const secret = makeContext({ canary: 'host' });
    for (const link of [`${secret}/canary`, `${'../'.repeat(20)}${secret}/canary`]) {
      const { status, stderr } = await listing({ Dockerfile: 'FROM scratch\nCOPY l /l\n', l: { link } });
      expect(status, stderr).to.equal(1);
      expect(stderr).to.contain('COPY_SOURCE_NOT_FOUND');
    }
    const below = await listing({
      Dockerfile: 'FROM scratch\nCOPY d/ /d/\n',
      'd/l': { link: `${secret}/canary` },
    });
    expect(below.status).to.equal(0);
  });

  it('with control characters in names leave the terminal alone', async () => {
    const name = 'a\x1b[2J\n#9 DONE\rb';
    const found = await listing({ Dockerfile: 'FROM scratch\nCOPY . /\n', [name]: 'x' });
    expect([found.status, found.stderr.includes('\x1b')], found.stderr).to.deep.equal([0, false]);
    expect(readFileSync(join(found.output, name), 'utf8')).to.equal('x');
    const lost = await listing({ Dockerfile: 'FROM scratch\nCOPY gone\x1bc /\n' });
    expect([lost.status, lost.stderr.includes('\x1b')], lost.stderr).to.deep.equal([1, false]);
  });

  it('that grow links in place of directories in the destination stay in the image', async () => {
    const outside = tmpDir();
    const { stderr } = await listing({
      Dockerfile: 'FROM scratch\nCOPY one/ /\nCOPY two/ /\nWORKDIR /l/w\nCOPY f /l/w/f\n',
      'one/l': { link: outside },
      'two/x': '',
      f: 'f',
    });
    expect(existsSync(join(outside, 'w')), stderr).to.equal(false);
  });

  it(`with ${FILES} files take 2.5 KB of memory for each`, async function () {
    this.timeout(60_000 + FILES);
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY d /d\n' });
    for (let i = 0; i < FILES; i++) {
      const directory = join(context, 'd', String(i >> 10));
      if ((i & 1023) === 0) mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `file-number-${i}.txt`), i % 100 === 0 ? String(i) : '');
    }
    const refused = await build(context, [], { TSBUILD_LIMITS: `contextFiles=${FILES - 1}` });
    expect(refused.status).to.equal(1);
    expect(refused.stderr).to.contain(`the build context has more than ${FILES - 1} files`);
    const megabytes = 20 + Math.ceil(FILES * 0.0024);
    const heap = { NODE_OPTIONS: `--max-old-space-size=${megabytes}` };
    // The second build reads what the first one noted of each file.
    for (const cached of [false, true]) {
      const { status, stderr } = await build(context, [], heap);
      expect(status, stderr.slice(-3000)).to.equal(0);
      expect(/COPY d \/d\n#\d+ CACHED/.test(stderr)).to.equal(cached);
    }
  });

  describe('ADD of an archive', () => {
    const cases: [what: string, archive: Buffer][] = [
      ['with ..', rawTar({ name: '../canary', body: 'x' })],
      [
        'with a link and a file through it',
        rawTar({ name: 'l', flag: '2', link: '/canaries' }, { name: 'l/canary', body: 'x' }),
      ],
      ['with a hard link that points out', rawTar({ name: 'h', flag: '1', link: '../canary' })],
      ['with a size below zero', rawTar(paxEntry({ size: '-5' }), { body: 'x' })],
      ['with a size that is no number', rawTar(paxEntry({ size: 'NaN' }), { body: 'x' })],
      ['with a size of exabytes', rawTar({ name: 'ok' }, paxEntry({ size: '9007199254740993' }), {})],
      [
        'with a size of the base 256',
        rawTar({ name: 'ok' }, { raw: { 124: Buffer.from([0xff, ...Array<number>(11).fill(0xff)]) } }),
      ],
      [
        'of a sparse file',
        rawTar(
          { name: 'ok' },
          paxEntry({ 'GNU.sparse.realsize': String(2 ** 60), 'GNU.sparse.map': '0,1' }),
          {},
        ),
      ],
      ['with an old sparse header', rawTar({ name: 'ok' }, { flag: 'S' })],
      ['with ids that are none', rawTar(paxEntry({ uid: '-1', gid: 'x' }), {})],
      ['with a header of a GiB', rawTar({ name: 'ok' }, { flag: 'x', size: 2 ** 30 })],
      ['with a time of NaN', rawTar(paxEntry({ mtime: 'NaN' }), { name: 'ok' })],
      ['with a time far away', rawTar(paxEntry({ mtime: '99999999999999999999' }), { name: 'ok' })],
      [
        'with a PAX record longer than its header',
        rawTar({ name: 'ok' }, { flag: 'x', body: '99 path=a\n' }, {}),
      ],
      ['with a PAX length in hex', rawTar({ name: 'ok' }, { flag: 'x', body: '0xa path=a\n' }, {})],
      ['with a bad checksum further on', rawTar({ name: 'ok' }, { checksum: 1 })],
      ['cut short', rawTar({ name: 'ok' }, { name: 'big', body: Buffer.alloc(5000) }).subarray(0, 2000)],
      ['with a device', rawTar({ name: 'dev', flag: '3', device: [1, 3] })],
      ['with a directory in place of a file', rawTar({ name: 'a' }, { name: 'a/b' })],
      [
        'compressed and damaged',
        gzipSync(rawTar({ name: 'ok' }, { name: 'x', body: Buffer.alloc(1 << 16, 7) })).subarray(0, 120),
      ],
    ];
    for (const [what, archive] of cases) {
      it(`${what} stays inside, or is refused`, async () => {
        const home = tmpDir();
        const context = makeContext({ Dockerfile: 'FROM scratch\nADD a.tar /in/\n', 'a.tar': archive }, home);
        const before = existsSync('/canary') || existsSync('/canaries');
        const output = join(tmpDir(), 'out', 'deep');
        const { status, stderr } = await build(context, ['-o', output]);
        expect(stderr).not.to.match(BROKEN);
        expect([0, 1, 2, 4], stderr).to.include(status);
        expect(existsSync('/canary') || existsSync('/canaries')).to.equal(before);
        expect(existsSync(join(output, '../canary'))).to.equal(false);
      });
    }

    it('twice, with hard links to one name, leaves each link what it was', async () => {
      const archive = (text: string, link: string) =>
        rawTar({ name: 'x', body: text }, { name: link, flag: '1', link: 'x' });
      const context = makeContext({
        Dockerfile: 'FROM scratch\nADD a.tar b.tar /d/\n',
        'a.tar': archive('one', 't'),
        'b.tar': archive('two', 'u'),
      });
      const dest = tmpDir();
      const { status, stderr } = await build(context, ['-o', `type=local,dest=${dest}`]);
      expect(status, stderr).to.equal(0);
      const texts = ['x', 't', 'u'].map((name) => readFileSync(join(dest, 'd', name), 'utf8'));
      expect(texts).to.deep.equal(['two', 'one', 'two']);
    });

    const unreadable: [what: string, archive: Buffer][] = [
      ['of an unknown type', rawTar({ name: 'label', flag: 'V' }, { name: 'ok' })],
      ['with a name that is not UTF-8', rawTar({ name: Buffer.from('caf\xe9', 'latin1') })],
      [
        'of an xz with another check',
        execFileSync('xz', ['-c', '--check=sha256'], { input: rawTar({ name: 'ok' }) }),
      ],
    ];
    for (const [what, archive] of unreadable)
      it(`that begins ${what} is refused, not copied as it is`, async () => {
        const context = makeContext({ Dockerfile: 'FROM scratch\nADD a.tar /in/\n', 'a.tar': archive });
        const { status, stderr } = await build(context, []);
        expect(
          [status === 2 || status === 4, /\[(TAR_INVALID|UNSUPPORTED)/.test(stderr)],
          stderr,
        ).to.deep.equal([true, true]);
      });

    it('of a bomb ends at the limit', async () => {
      const archive = gzipSync(rawTar({ name: 'zeros', body: Buffer.alloc(64 << 20) }));
      const context = makeContext({ Dockerfile: 'FROM scratch\nADD a.tar.gz /\n', 'a.tar.gz': archive });
      const limits = { TSBUILD_LIMITS: 'inflatedBytes=1000000,inflationRatio=50' };
      const { status, stderr } = await build(context, [], limits);
      expect([status, stderr.includes('COMPRESSION_INVALID')], stderr).to.deep.equal([4, true]);
    });
  });

  it('with inodes beyond those that numbers tell apart keeps its hard links, and no others', async function () {
    needs(this, 'root');
    const [home, dest] = [tmpDir(), tmpDir()];
    // Of an overlay across file systems, where each has a range of inodes far above 2^53.
    const script = `
      set -e
      cd "$0"
      mkdir a b c
      mount -t tmpfs a a && mount -t tmpfs b b
      mkdir -p a/lower/d b/upper b/work
      for i in 1 2 3 4 5; do echo $i > a/lower/d/$i-one; ln a/lower/d/$i-one a/lower/d/$i-two; done
      mount -t overlay c -o xino=on,lowerdir=a/lower,upperdir=b/upper,workdir=b/work c
      [ $(stat -c %i c/d/1-one | wc -c) -gt 17 ] || exit 77
      printf 'FROM scratch\\nCOPY d /\\n' > b/Dockerfile
      exec "$1" c -f b/Dockerfile -q -o "type=local,dest=$2"`;
    const args = ['-m', 'sh', '-c', script, home, TSBUILD, dest];
    const { status, stderr } = await runCommand('unshare', args, { env: { TSBUILD_ROOT: tmpDir() } });
    // The kernel numbers them otherwise.
    if (status === 77) this.skip();
    expect(status, stderr).to.equal(0);
    for (const i of [1, 2, 3, 4, 5])
      for (const name of ['one', 'two'])
        expect(readFileSync(join(dest, `${i}-${name}`), 'utf8'), `${i}-${name}`).to.equal(`${i}\n`);
    expect(statSync(join(dest, '1-one')).ino).to.equal(statSync(join(dest, '1-two')).ino);
  });

  describe('load of an archive', () => {
    const config = (more: Record<string, unknown>) =>
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [] },
        ...more,
      });
    const docker = (images: unknown, ...entries: readonly RawEntry[]) =>
      rawTar({ name: 'manifest.json', body: JSON.stringify(images) }, ...entries);
    const index = JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256('{}'), size: 2 }],
    });
    const cases: [what: string, archive: Buffer][] = [
      ['with no image', rawTar({ name: 'x' })],
      ['whose manifest is null', docker(null)],
      ['whose manifest is a table', docker({ Config: 'x' })],
      ['whose images are numbers', docker([1])],
      [
        'whose layers are missing',
        docker([{ Config: 'c', Layers: ['../../etc/passwd'] }], { name: 'c', body: config({}) }),
      ],
      ['whose config is missing', docker([{ Config: '/etc/passwd', Layers: [] }])],
      [
        'whose config is a link out',
        docker([{ Config: 'c', Layers: [] }], { name: 'c', flag: '2', link: '/etc/passwd' }),
      ],
      ['whose config is no JSON', docker([{ Config: 'c', Layers: [] }], { name: 'c', body: '{' })],
      [
        'whose config has other layers',
        docker(
          [{ Config: 'c', Layers: ['l'] }],
          { name: 'c', body: config({}) },
          { name: 'l', body: rawTar() },
        ),
      ],
      [
        'whose layer is not the one of its config',
        docker(
          [{ Config: 'c', Layers: ['l'] }],
          { name: 'c', body: config({ rootfs: { type: 'layers', diff_ids: [sha256('other')] } }) },
          { name: 'l', body: rawTar({}) },
        ),
      ],
      [
        'whose tag is none',
        docker([{ Config: 'c', RepoTags: ['../../x'], Layers: [] }], { name: 'c', body: config({}) }),
      ],
      [
        'whose tags are numbers',
        docker([{ Config: 'c', RepoTags: [1], Layers: [] }], { name: 'c', body: config({}) }),
      ],
      ['whose manifest is deep', rawTar({ name: 'manifest.json', body: '['.repeat(200_000) })],
      ['whose manifest is too long', rawTar({ name: 'manifest.json', body: `[${' '.repeat(9 << 20)}]` })],
      ['whose index names what it lacks', rawTar({ name: 'index.json', body: index })],
      [
        'whose index names no index',
        rawTar({ name: 'index.json', body: index }, { name: 'blobs/sha256/x', body: '{}' }),
      ],
      ['whose index is empty text', rawTar({ name: 'index.json', body: '' })],
    ];
    for (const [what, archive] of cases) {
      it(`${what} is refused`, async () => {
        const { status, stderr } = await tsbuildIn(root).run(['load'], { input: archive });
        expect(stderr).to.match(/\[(MANIFEST_INVALID|BLOB_CORRUPT|REFERENCE_INVALID), exit status/);
        expect([2, 4], stderr).to.include(status);
        expect(stderr).not.to.match(BROKEN);
      });
    }
  });

  describe('an OCI layout', () => {
    const layouts: [what: string, make: (dir: string) => void][] = [
      ['without index.json', () => undefined],
      ['whose index.json is a fifo', (dir) => void execFileSync('mkfifo', [join(dir, 'index.json')])],
      ['whose index.json is endless', (dir) => symlinkSync('/dev/zero', join(dir, 'index.json'))],
      [
        'whose index.json is a GiB',
        (dir) => void execFileSync('truncate', ['-s', '1G', join(dir, 'index.json')]),
      ],
      [
        'whose index names itself',
        (dir) =>
          writeFileSync(
            join(dir, 'index.json'),
            JSON.stringify({
              manifests: [
                { mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256('x'), size: 1 },
              ],
            }),
          ),
      ],
    ];
    for (const [what, make] of layouts) {
      it(`${what} is refused at once`, async () => {
        const layout = tmpDir();
        make(layout);
        const context = makeContext({ Dockerfile: 'FROM base\nCOPY Dockerfile /\n' });
        const { status, stderr } = await build(context, ['--build-context', `base=oci-layout://${layout}`]);
        expect(status, stderr).to.be.oneOf([1, 4]);
        expect(stderr).not.to.match(BROKEN);
      });
    }
  });

  describe('git', () => {
    const canary = join(tmpDir(), 'canary');
    for (const url of [
      `ext::sh -c touch% ${canary}`,
      `git@--upload-pack=touch ${canary}:x.git`,
      `ssh://-oProxyCommand=touch%20${canary}/x.git`,
      `https://127.0.0.1:1/x.git#--upload-pack=touch ${canary}`,
    ]) {
      it(`with the URL ${url.split(' ')[0]} runs nothing`, async () => {
        const context = makeContext({ Dockerfile: `FROM scratch\nADD ["${url}", "/x"]\n` });
        const { status, stderr } = await build(context);
        expect(status, stderr).to.be.oneOf([1, 2, 3]);
        expect(existsSync(canary)).to.equal(false);
        expect(stderr).not.to.match(BROKEN);
      });
    }

    it('with a submodule that is a command runs nothing', async () => {
      const repository = new GitRepository();
      repository.commit({
        '.gitmodules': `[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% ${canary}\n`,
        f: 'f',
      });
      repository.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},x`);
      repository.git('commit', '--quiet', '-m', 'module');
      const context = makeContext({
        Dockerfile: `FROM scratch\nADD git+file://${repository.directory} /x\nADD file://${repository.directory}/.git /y\n`,
      });
      await build(context);
      expect(existsSync(canary)).to.equal(false);
    });
  });
});
