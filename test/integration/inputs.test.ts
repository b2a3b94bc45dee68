import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { GitRepository } from '../kit/git-repository.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { startWebServer, type WebServer } from '../kit/web-server.js';

const EPOCH_2017 = 'Wed, 25 Jan 2017 16:59:13 GMT';
const SEC_2017 = 1_485_363_553;

describe('what a build is given', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  const dockerfile = (text: string, files = {}) =>
    makeContext({ ...files, Dockerfile: text, '.dockerignore': 'Dockerfile\n.dockerignore\n' });

  /** The files of the result. */
  async function outputOf(args: readonly string[], more = {}): Promise<string> {
    const dest = join(tmpDir(), 'out');
    await tsbuild.must([...args, '-o', `type=local,dest=${dest}`], more);
    return dest;
  }

  async function failure(args: readonly string[], more = {}): Promise<string> {
    const result = await tsbuild.run(args, more);
    expect(result.status).to.not.equal(0);
    return result.stderr;
  }

  async function configOf(args: readonly string[], more = {}) {
    await tsbuild.must([...args, '-t', 'config'], more);
    const [image] = JSON.parse((await tsbuild.must(['inspect', 'config'])).stdout) as [
      { Created: string; Config: { Labels: Record<string, string> } },
    ];
    return image;
  }

  describe('a repository', () => {
    const repository = new GitRepository();
    const part = new GitRepository();
    let web: WebServer;
    let parts: WebServer;
    let url: string;
    let first: string;

    before(async function () {
      needs(this, { program: 'git' });
      part.commit({ inside: 'of the part\n' });
      part.publish();
      parts = await startWebServer(part.directory);
      first = repository.commit({
        Dockerfile: 'FROM scratch\nCOPY . /\n',
        file: 'first\n',
        'sub/Dockerfile': 'FROM scratch\nCOPY . /\n',
        'sub/here': 'sub\n',
      });
      repository.git('tag', 'v1');
      repository.git('checkout', '--quiet', '-b', 'branch');
      // From the directory: this process, which serves the URL, is held up by its own git.
      const local = ['-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', '--'];
      repository.git(...local, part.directory, 'part');
      repository.git('config', '--file', '.gitmodules', 'submodule.part.url', `${parts.url}/.git`);
      repository.commit({ file: 'second\n' });
      repository.git('checkout', '--quiet', 'main');
      repository.publish();
      web = await startWebServer(repository.directory);
      url = `${web.url}/.git`;
    });
    after(async () => {
      await web?.stop();
      await parts?.stop();
    });

    const namesIn = (query: string) => outputOf([`${url}${query}`]).then((dest) => readdirSync(dest).sort());

    it('comes with its submodules unless submodules=false', async () => {
      const dest = await outputOf([`${url}?branch=branch`]);
      expect(readFileSync(join(dest, 'part/inside'), 'utf8')).to.equal('of the part\n');
      const without = await outputOf([`${url}?branch=branch&submodules=false`]);
      expect(existsSync(join(without, 'part/inside'))).to.equal(false);
    });

    it('is a context by each key of the query', async () => {
      expect(await namesIn('?tag=v1')).to.deep.equal(['Dockerfile', 'file', 'sub']);
      expect(await namesIn('?ref=v1&subdir=sub')).to.deep.equal(['Dockerfile', 'here']);
      expect(await namesIn(`?commit=${first}`)).to.include('sub');
      expect(await namesIn(`?tag=v1&checksum=${first.slice(0, 10)}&fetch-by-commit=true`)).to.include('sub');
      expect(await namesIn('?tag=v1&keep-git-dir=true')).to.include('.git');
      expect(await failure([`${url}?branch=branch&checksum=${first.slice(0, 10)}`])).to.contain(
        'expected checksum to match',
      );
      expect(await failure([`${url}?depth=1`])).to.contain('the queries are ref, tag');
    });

    it('keeps .git where BUILDKIT_CONTEXT_KEEP_GIT_DIR asks for it', async () => {
      const dest = await outputOf([url, '--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1']);
      expect(readFileSync(join(dest, '.git/HEAD'), 'utf8').trim()).to.equal(
        repository.git('rev-parse', 'main'),
      );
      expect(await namesIn('')).to.not.include('.git');
    });

    it('is given GIT_AUTH_TOKEN and GIT_AUTH_HEADER, that of its host first, as a context and in ADD', async () => {
      const { host } = new URL(url);
      const basic = (token: string) => `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
      for (const [secrets, header] of [
        [['id=GIT_AUTH_TOKEN,env=ONE'], basic('token-one')],
        [['id=GIT_AUTH_HEADER,env=ONE'], 'token-one'],
        [['id=GIT_AUTH_TOKEN,env=ONE', `id=GIT_AUTH_TOKEN.${host},env=TWO`], basic('token-two')],
        [['id=GIT_AUTH_TOKEN.elsewhere.example,env=TWO'], undefined],
      ] as const) {
        const added = dockerfile(`FROM scratch\nADD --keep-git-dir ${url}#v1 /repo\n`);
        for (const context of [`${url}#v1`, added]) {
          web.requests.length = 0;
          const options = secrets.map((secret) => `--secret=${secret}`);
          const own = tsbuildIn(tmpDir(), { ONE: 'token-one', TWO: 'token-two' });
          const dest = join(tmpDir(), 'out');
          await own.must([context, ...options, '-o', `type=local,dest=${dest}`]);
          expect(web.requests).to.not.have.length(0);
          expect(new Set(web.requests.map(({ headers }) => headers.authorization))).to.deep.equal(
            new Set([header]),
          );
          const config = join(dest, 'repo/.git/config');
          if (context === added) expect(readFileSync(config, 'utf8')).to.not.contain('Authorization');
        }
      }
    });
  });

  describe('an archive on standard input', () => {
    const dir = makeContext({ Dockerfile: 'FROM scratch\nCOPY data /\n', data: 'in the archive\n' });

    for (const program of ['cat', 'gzip', 'bzip2', 'xz', 'zstd'])
      it(`goes through ${program}`, async function () {
        needs(this, { program });
        const plain = execFileSync('tar', ['-cf', '-', '-C', dir, '.']);
        const input = execFileSync(program, program === 'cat' ? [] : ['-c'], { input: plain });
        const dest = await outputOf(['-'], { input });
        expect(readFileSync(join(dest, 'data'), 'utf8')).to.equal('in the archive\n');
      });
  });

  describe('a layout as a context', () => {
    const layout = join(tmpDir(), 'layout');
    const digests: Record<string, string> = {};
    before(async () => {
      for (const tag of ['one', 'two']) {
        const context = dockerfile(`FROM scratch\nCOPY <<EOF /which\n${tag}\nEOF\n`);
        const metadata = join(tmpDir(), 'metadata');
        const output = `type=oci,tar=false,dest=${join(layout, tag)}`;
        await tsbuild.must([context, '-t', `app:${tag}`, '-o', output, '--metadata-file', metadata]);
        const written = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, string>;
        digests[tag] = written['containerimage.digest']!;
      }
    });
    const context = dockerfile('FROM scratch\nCOPY --from=some /which /\n');
    const which = async (place: string) => {
      const dest = await outputOf([context, '--build-context', `some=oci-layout://${layout}/${place}`]);
      return readFileSync(join(dest, 'which'), 'utf8');
    };

    it('is found by its tag and by its digest', async () => {
      expect(await which('one:one')).to.equal('one\n');
      expect(await which(`two@${digests['two']}`)).to.equal('two\n');
      expect(await which(`two:two@${digests['two']}`)).to.equal('two\n');
    });

    it('that has no such tag or digest is named', async () => {
      for (const place of ['one:missing', `one@${digests['two']}`])
        expect(
          await failure([context, '--build-context', `some=oci-layout://${layout}/${place}`]),
        ).to.contain('layout');
    });
  });

  it('a URL of a file with a token or a header as a secret', async () => {
    const web = await startWebServer();
    try {
      web.files.set('/f', { body: 'x' });
      const { host } = new URL(web.url);
      for (const [id, header] of [
        [`HTTP_AUTH_TOKEN_${host}`, 'Bearer secret-word'],
        [`HTTP_AUTH_HEADER_${host}`, 'secret-word'],
      ]) {
        web.requests.length = 0;
        const own = tsbuildIn(tmpDir(), { WORD: 'secret-word' });
        await own.must([dockerfile(`FROM scratch\nADD ${web.url}/f /\n`), `--secret=id=${id},env=WORD`]);
        expect(web.requests[0]!.headers.authorization).to.equal(header);
      }
    } finally {
      await web.stop();
    }
  });

  describe('SOURCE_DATE_EPOCH', () => {
    let web: WebServer;
    before(async () => {
      web = await startWebServer();
      web.files.set('/dated', { body: 'x', headers: { 'last-modified': EPOCH_2017 } });
      web.files.set('/Dockerfile', {
        body: 'FROM scratch\nCOPY <<E /f\nE\n',
        headers: { 'last-modified': EPOCH_2017 },
      });
    });
    after(() => web.stop());
    const created = async (args: readonly string[]) => Date.parse((await configOf(args)).Created) / 1000;

    it('is the time of a context from a URL', async () => {
      const args = [`${web.url}/Dockerfile`, '--build-arg', 'SOURCE_DATE_EPOCH=context'];
      expect(await created(args)).to.equal(SEC_2017);
    });

    it('is the time of a context with a name', async () => {
      const args = ['--build-arg', 'SOURCE_DATE_EPOCH=dated', '--build-context', `dated=${web.url}/dated`];
      expect(await created([dockerfile('FROM scratch\nCOPY f /\n', { f: '' }), ...args])).to.equal(SEC_2017);
    });

    it('is unset by a directory, and a default before the first FROM gives it', async () => {
      const text = 'FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL epoch=x$SOURCE_DATE_EPOCH\n';
      const label = async (args: readonly string[]) => (await configOf(args)).Config.Labels['epoch'];
      expect(await label([dockerfile(text), '--build-arg', 'SOURCE_DATE_EPOCH=context'])).to.equal('x');
      expect(await label([dockerfile(`ARG SOURCE_DATE_EPOCH=5\n${text}`)])).to.equal('x5');
    });

    it('of a stage that does more than one remote ADD is refused', async () => {
      const text = (line: string) =>
        `FROM scratch AS source\n${line}\nFROM scratch\nCOPY --from=source . /\n`;
      for (const [line, words] of [
        ['RUN true', 'unsupported RUN instruction'],
        [`ADD ${web.url}/dated /\nADD ${web.url}/dated /b`, 'exactly one remote ADD'],
        ['ADD f /', 'must be a single HTTP(S) or Git ADD'],
      ] as const)
        expect(
          await failure([dockerfile(text(line), { f: '' }), '--build-arg', 'SOURCE_DATE_EPOCH=source']),
        ).to.contain(words);
    });
  });

  describe('build arguments', () => {
    const context = dockerfile('FROM scratch\nARG A=default\nLABEL a=$A\n');
    const label = async (args: readonly string[], env = {}) =>
      (await configOf([context, ...args], { env })).Config.Labels['a'];

    it('take the value of the environment where they have none, and nothing where it has none', async () => {
      expect(await label(['--build-arg', 'A'], { A: 'outside' })).to.equal('outside');
      expect(await label(['--build-arg', 'A'])).to.equal('default');
      expect(await label(['--build-arg', 'A='], { A: 'outside' })).to.equal('');
      expect(await label([], { A: 'outside' })).to.equal('default');
    });

    it('BUILDKIT_MULTI_PLATFORM makes an index, and a directory, of one platform', async () => {
      const platform = ['--platform', 'linux/arm64'];
      const asked = [...platform, '--build-arg', 'BUILDKIT_MULTI_PLATFORM=1'];
      const text = dockerfile('FROM scratch\nCOPY f /\n', { f: '' });
      expect(readdirSync(await outputOf([text, ...platform]))).to.deep.equal(['f']);
      expect(readdirSync(await outputOf([text, ...asked]))).to.deep.equal(['linux_arm64']);
      const rootOf = async (args: readonly string[]) => {
        const dest = join(tmpDir(), 'layout');
        await tsbuild.must([text, ...args, '-o', `type=oci,tar=false,dest=${dest}`]);
        const { manifests } = JSON.parse(readFileSync(join(dest, 'index.json'), 'utf8')) as {
          manifests: { mediaType: string }[];
        };
        return manifests[0]!.mediaType;
      };
      expect(await rootOf(platform)).to.contain('image.manifest');
      expect(await rootOf(asked)).to.contain('image.index');
      for (const [more, words] of [
        ['BUILDKIT_MULTI_PLATFORM=perhaps', 'invalid value "perhaps"'],
        ['BUILDKIT_MULTI_PLATFORM=0', 'there are several platforms'],
      ] as const)
        expect(
          await failure([text, '--platform', 'linux/arm64,linux/amd64', '--build-arg', more]),
        ).to.contain(words);
    });

    it('BUILDKIT_SYNTAX, BUILDKIT_BUILD_NAME, BUILDKIT_INLINE_CACHE and SBOM’s are taken', async () => {
      const text = dockerfile('FROM scratch\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nCOPY f /\n', { f: '' });
      const digest = async (args: readonly string[]) => (await tsbuild.must([text, '-q', ...args])).stdout;
      const plain = await digest([]);
      for (const name of [
        'BUILDKIT_SYNTAX=docker/dockerfile:1',
        'BUILDKIT_BUILD_NAME=app',
        'BUILDKIT_SBOM_SCAN_CONTEXT=1',
      ])
        expect(await digest(['--build-arg', name])).to.equal(plain);
      await digest(['--build-arg', 'BUILDKIT_INLINE_CACHE=1']);
    });
  });

  describe('with RUN', () => {
    before(async function () {
      needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
      const context = dockerfile('FROM scratch\nCOPY . /\n');
      makeBaseRootfs(context);
      await tsbuild.must([context, '-t', 'base']);
    });

    it('BUILDKIT_CACHE_MOUNT_NS keeps the cache mounts of builds apart', async () => {
      const run = 'RUN --mount=type=cache,target=/c ls /c > /seen; touch /c/$NAME; touch /c/common';
      const text = dockerfile(`FROM base\nARG NAME\n${run}\n`);
      const seen = async (name: string, ...more: string[]) => {
        const args = [text, '--no-cache', '--build-arg', `NAME=${name}`, ...more];
        return readFileSync(join(await outputOf(args), 'seen'), 'utf8');
      };
      const namespace = ['--build-arg', 'BUILDKIT_CACHE_MOUNT_NS=apart'];
      expect(await seen('a')).to.equal('');
      expect(await seen('b', ...namespace)).to.equal('');
      expect(await seen('c', ...namespace)).to.equal('b\ncommon\n');
      expect(await seen('d')).to.equal('a\ncommon\n');
    });

    it('for another platform, an error says what to install', async function () {
      if (existsSync('/proc/sys/fs/binfmt_misc/qemu-s390x')) this.skip();
      const args = ['--platform', 'linux/s390x'];
      const text = dockerfile('FROM scratch\nCOPY f /\nRUN ["/f"]\n', {
        f: { text: '\x7fELF', mode: 0o755 },
      });
      expect(await failure([text, ...args]))
        .to.contain('cannot run programs for linux/s390x')
        .and.to.contain('qemu-user-static');
    });
  });
});

describe('an error of COPY', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());

  async function failure(lines: string, files: Parameters<typeof makeContext>[0] = {}): Promise<string> {
    const result = await tsbuild.run([makeContext({ Dockerfile: lines, ...files }), '--progress', 'plain']);
    expect(result.status).to.equal(1);
    return result.stderr;
  }

  it('says where it looked and the nearest name', async () => {
    const files = { 'src/server.ts': '', 'src/client.ts': '' };
    const message = await failure('FROM scratch\nCOPY src/sever.ts /\n', files);
    expect(message).to.match(/"\/src\/sever.ts": not found in the build context "\/.*"/);
    expect(message).to.contain('did you mean "src/server.ts"?');
    const staged = await failure(
      'FROM scratch AS a\nCOPY src /s\nFROM scratch\nCOPY --from=a /s/sever.ts /\n',
      files,
    );
    expect(staged).to.contain('not found in').and.to.contain('did you mean "s/server.ts"?');
  });

  it('says which line of .dockerignore leaves it out', async () => {
    const ignore = { '.dockerignore': '*.md\n**/*.log\n!kept.log\n', 'a/b.log': '', 'c.md': '' };
    expect(await failure('FROM scratch\nCOPY a/b.log /\n', ignore)).to.contain('"**/*.log" leaves it out');
    expect(await failure('FROM scratch\nCOPY c.md /\n', ignore)).to.contain('"*.md" leaves it out');
  });

  it('onto a link names the link and its target', async () => {
    const files = { 'base/lib': { link: 'usr/lib' }, 'base/usr/lib/x': '', 'more/lib/y': '' };
    const message = await failure('FROM scratch\nCOPY base /\nCOPY more /\n', files);
    expect(message).to.contain('"/lib", which is a link to "usr/lib"').and.to.contain('>>> COPY more /');
  });

  it('from a stage that nobody wrote lists the stages', async () => {
    const text = 'FROM scratch AS build\nFROM scratch AS test\nFROM scratch\nCOPY --from=9 /x /\n';
    const result = await tsbuild.run([makeContext({ Dockerfile: text })]);
    expect(result.stderr).to.contain('"build"').and.to.contain('"test"');
    const target = await tsbuild.run([makeContext({ Dockerfile: text }), '--target', 'tst']);
    expect(target.stderr).to.contain('did you mean "test"?').and.to.contain('the stages are "build", "test"');
  });
});
