import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { GitRepository } from '../kit/git-repository.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { startWebServer, type WebServer } from '../kit/web-server.js';

const EMPTY = { '.keep': '' };
const EPOCH_2017 = 'Wed, 25 Jan 2017 16:59:13 GMT';

describe('files from elsewhere', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());

  /** Builds and gives the listing `tar -tv` of the result: mode, owner, size, time, name. */
  async function listing(context: string, ...options: string[]): Promise<string[]> {
    const tar = join(tmpDir(), 'out.tar');
    await tsbuild.must([context, '-o', `type=tar,dest=${tar}`, ...options]);
    const text = execFileSync('tar', ['--utc', '--full-time', '-tvf', tar], { encoding: 'utf8' });
    return text.trim().split('\n');
  }

  function fileOf(context: string, path: string, ...options: string[]): Promise<string> {
    const tar = join(tmpDir(), 'out.tar');
    return tsbuild
      .must([context, '-o', `type=tar,dest=${tar}`, ...options])
      .then(() => execFileSync('tar', ['-xOf', tar, path], { encoding: 'utf8' }));
  }

  const dockerfile = (text: string) => makeContext({ ...EMPTY, Dockerfile: text });

  describe('ADD of a URL', () => {
    let web: WebServer;
    before(async () => void (web = await startWebServer()));
    after(() => web.stop());

    it('gives mode 0600, the time of Last-Modified, and the name of the URL', async () => {
      web.files.set('/dir/data.txt', { body: 'hello', headers: { 'last-modified': EPOCH_2017 } });
      const lines = await listing(dockerfile(`FROM scratch\nADD ${web.url}/dir/data.txt?x=1 /in/\n`));
      expect(lines.at(-1)).to.match(/^-rw------- 0\/0 +5 2017-01-25 16:59:13 in\/data.txt$/);
    });

    it('asks the server whether it has changed, and downloads only then', async () => {
      web.files.set('/changing', { body: 'one', headers: { etag: '"1"' } });
      const context = dockerfile(`FROM scratch\nADD --chmod=644 ${web.url}/changing /f\n`);
      expect(await fileOf(context, 'f')).to.equal('one');
      web.requests.length = 0;
      const again = await tsbuild.must([context, '--progress', 'plain']);
      expect(again.stderr).to.match(/ADD --chmod=644 .*\n#\d+ CACHED/);
      expect(web.requests.map((request) => request.headers['if-none-match'])).to.deep.equal(['"1"']);
      web.files.set('/changing', { body: 'two', headers: { etag: '"2"' } });
      expect(await fileOf(context, 'f')).to.equal('two');
    });

    it('asks nobody when the file of a checksum is there', async () => {
      const digest = 'sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0';
      web.files.set('/aaa', { body: 'aaa' });
      const context = dockerfile(`FROM scratch\nADD --checksum=${digest} ${web.url}/aaa /f\n`);
      expect(await fileOf(context, 'f')).to.equal('aaa');
      web.requests.length = 0;
      expect(await fileOf(context, 'f')).to.equal('aaa');
      expect(web.requests).to.have.length(0);
    });

    it('refuses another checksum, a missing file and a checksum of a path, each with the place', async () => {
      web.files.set('/bbb', { body: 'bbb' });
      const wrong = `sha256:${'0'.repeat(64)}`;
      for (const [line, status, words] of [
        [`ADD --checksum=${wrong} ${web.url}/bbb /f`, 4, 'digest mismatch'],
        [`ADD ${web.url}/nothing /f`, 3, 'invalid response status 404'],
        [`ADD --checksum=${wrong} .keep /f`, 2, 'checksum requires HTTP(S) or Git sources'],
        [`ADD --checksum=md5:1 ${web.url}/bbb /f`, 2, 'is not a digest'],
        [`COPY ${web.url}/bbb /f`, 2, "source can't be a URL for COPY"],
      ] as const) {
        const result = await tsbuild.run([dockerfile(`FROM scratch\n${line}\n`)]);
        expect(result.status, result.stderr).to.equal(status);
        expect(result.stderr).to.contain(words).and.to.contain('>>>');
      }
    });

    it('unpacks an archive with --unpack only', async () => {
      const dir = makeContext({ 'inside.txt': 'x' });
      const body = execFileSync('tar', ['-czf', '-', '-C', dir, 'inside.txt']);
      web.files.set('/a.tgz', { body });
      const names = async (flag: string) =>
        (await listing(dockerfile(`FROM scratch\nADD ${flag} ${web.url}/a.tgz /d/\n`))).map((line) =>
          line.split(' ').at(-1),
        );
      expect(await names('')).to.deep.equal(['d/', 'd/a.tgz']);
      expect(await names('--unpack')).to.deep.equal(['d/', 'd/inside.txt']);
    });

    it('follows redirects, and takes the authorization along to no other host', async () => {
      const other = await startWebServer();
      try {
        other.files.set('/file', { body: 'moved' });
        web.files.set('/moved', { status: 302, headers: { location: `${other.url}/file` } });
        const context = dockerfile(`FROM scratch\nADD ${web.url}/moved /f\n`);
        const secret = `id=HTTP_AUTH_TOKEN_${new URL(web.url).host},env=TOKEN`;
        web.requests.length = 0;
        await tsbuild.must([context, '--secret', secret], { env: { TOKEN: 'abc' } });
        expect(web.requests[0]!.headers.authorization).to.equal('Bearer abc');
        expect(other.requests[0]!.headers).to.not.have.property('authorization');
      } finally {
        await other.stop();
      }
    });
  });

  describe('repositories', () => {
    const repository = new GitRepository();
    const commits: Record<string, string> = {};
    let web: WebServer;
    let url: string;

    before(async function () {
      needs(this, { program: 'git' });
      commits['first'] = repository.commit({
        file: 'first\n',
        'sub/Dockerfile': 'FROM scratch\nCOPY here /\n',
        'sub/here': 'sub\n',
      });
      repository.git('tag', 'light');
      commits['second'] = repository.commit({ file: 'second\n', Dockerfile: 'FROM scratch\nCOPY . /\n' });
      repository.git('tag', '-a', 'annotated', '-m', 'note');
      repository.git('checkout', '--quiet', '-b', 'branch');
      commits['third'] = repository.commit({ file: 'third\n' });
      repository.git('checkout', '--quiet', 'main');
      repository.publish();
      web = await startWebServer(repository.directory);
      url = `${web.url}/.git`;
    });
    after(() => web?.stop());

    const added = (reference: string, flags = '') =>
      fileOf(dockerfile(`FROM scratch\nADD ${flags} ${url}${reference} /repo\n`), 'repo/file');

    it('are checked out at the default branch, a branch, a tag, a commit', async () => {
      expect(await added('')).to.equal('second\n');
      expect(await added('#branch')).to.equal('third\n');
      expect(await added('#refs/heads/branch')).to.equal('third\n');
      expect(await added('?branch=branch')).to.equal('third\n');
      expect(await added('#light')).to.equal('first\n');
      expect(await added('?tag=annotated')).to.equal('second\n');
      expect(await added(`#${commits['first']}`)).to.equal('first\n');
      expect(await added(`?commit=${commits['third']}`)).to.equal('third\n');
    });

    it('give plain modes and owners, and no .git unless it is asked for', async () => {
      const plain = await listing(dockerfile(`FROM scratch\nADD ${url}#light /repo\n`));
      expect(plain.map((line) => line.replace(/\s+\d+ (?:19|20)\d\d.* /, ' '))).to.deep.equal([
        'drwxr-xr-x 0/0 repo/',
        '-rw-r--r-- 0/0 repo/file',
        'drwxr-xr-x 0/0 repo/sub/',
        '-rw-r--r-- 0/0 repo/sub/Dockerfile',
        '-rw-r--r-- 0/0 repo/sub/here',
      ]);
      const head = await fileOf(
        dockerfile(`FROM scratch\nADD --keep-git-dir ${url}#branch /repo\n`),
        'repo/.git/HEAD',
      );
      expect(head.trim()).to.equal(commits['third']);
    });

    it('give a directory of them, and the time of the commit', async () => {
      const lines = await listing(
        dockerfile(`FROM scratch\nADD ${url}?ref=light&subdir=sub&mtime=commit /repo\n`),
      );
      expect(lines.at(-1)).to.match(/2023-11-14 22:14:20 repo\/here$/);
    });

    it('must have the commit that the checksum says', async () => {
      const start = commits['first']!.slice(0, 12);
      expect(await added('#light', `--checksum=${start}`)).to.equal('first\n');
      const result = await tsbuild.run([
        dockerfile(`FROM scratch\nADD --checksum=${start} ${url}#branch /repo\n`),
      ]);
      expect(result.status).to.equal(2);
      expect(result.stderr).to.contain(`expected checksum to match ${start}, got ${commits['third']}`);
    });

    it('that lack the ref or do not exist end in an error with git’s words', async () => {
      for (const reference of [`${url}#nothing`, `${web.url}/other.git`]) {
        const result = await tsbuild.run([dockerfile(`FROM scratch\nADD ${reference} /repo\n`)]);
        expect(result.status, result.stderr).to.equal(3);
        expect(result.stderr).to.contain('GIT_FAILED').and.to.contain('hint:');
      }
    });

    it('follow a branch that moves, and stay cached while it does not', async () => {
      const context = dockerfile(`FROM scratch\nADD ${url}#main /repo\n`);
      await tsbuild.must([context]);
      expect((await tsbuild.must([context, '--progress', 'plain'])).stderr).to.match(/ADD .*\n#\d+ CACHED/);
      repository.commit({ file: 'fourth\n' });
      repository.publish();
      expect(await fileOf(context, 'repo/file')).to.equal('fourth\n');
    });

    it('are contexts, with a ref and a directory', async () => {
      expect(await fileOf(`${url}#branch`, 'file')).to.equal('third\n');
      expect(await fileOf(`${url}#light:sub`, 'here')).to.equal('sub\n');
    });

    it('give SOURCE_DATE_EPOCH its value', async () => {
      const tar = join(tmpDir(), 'out.tar');
      await tsbuild.must([
        `${url}#branch`,
        '--build-arg',
        'SOURCE_DATE_EPOCH=context',
        '-t',
        'dated',
        '-o',
        `type=docker,dest=${tar}`,
        '-o',
        'type=image',
      ]);
      const [image] = JSON.parse((await tsbuild.must(['inspect', 'dated'])).stdout) as [{ Created: string }];
      expect(Date.parse(image.Created) / 1000).to.equal(1_700_000_180);
    });
  });

  describe('contexts', () => {
    let web: WebServer;
    let archive: Buffer;
    before(async () => {
      web = await startWebServer();
      const dir = makeContext({
        Dockerfile: 'FROM scratch\nCOPY data /\n',
        'other/Dockerfile': 'FROM scratch\nCOPY data /renamed\n',
        data: 'in the archive\n',
      });
      archive = execFileSync('tar', ['-czf', '-', '--owner=7', '--group=8', '-C', dir, '.']);
    });
    after(() => web.stop());

    it('come as an archive on standard input, with the owners in it', async () => {
      const tar = join(tmpDir(), 'out.tar');
      await tsbuild.must(['-', '-o', `type=tar,dest=${tar}`], { input: archive });
      const text = execFileSync('tar', ['-tvf', tar, '--numeric-owner'], { encoding: 'utf8' });
      expect(text).to.match(/^-rw-r--r-- 7\/8 .* data$/m);
      await tsbuild.must(['-', '-f', 'other/Dockerfile', '-o', `type=tar,dest=${tar}`], { input: archive });
      expect(execFileSync('tar', ['-xOf', tar, 'renamed'], { encoding: 'utf8' })).to.equal(
        'in the archive\n',
      );
    });

    it('come as a Dockerfile alone on standard input', async () => {
      const result = await tsbuild.run(['-', '--progress', 'plain'], { input: 'FROM scratch\nCOPY x /\n' });
      expect(result.status).to.equal(1);
      expect(result.stderr).to.contain('this build has no context to copy from');
      await tsbuild.must(['-'], { input: 'FROM scratch\nCOPY <<EOF /x\nhello\nEOF\n' });
    });

    it('come from a URL: an archive, or a Dockerfile', async () => {
      web.files.set('/context.tar.gz', { body: archive });
      expect(await fileOf(`${web.url}/context.tar.gz`, 'data')).to.equal('in the archive\n');
      web.files.set('/Dockerfile', { body: 'FROM scratch\nCOPY <<EOF /x\nalone\nEOF\n' });
      expect(await fileOf(`${web.url}/Dockerfile`, 'x')).to.equal('alone\n');
    });

    it('with a name are directories with their own .dockerignore, and take the place of stages', async () => {
      const named = makeContext({
        seen: 'seen\n',
        hidden: 'hidden\n',
        '.dockerignore': 'hidden\n.dockerignore\n',
      });
      const context = dockerfile('FROM missing AS base\nRUN false\nFROM scratch\nCOPY --from=base / /out/\n');
      const lines = await listing(context, '--build-context', `base=${named}`);
      expect(lines.map((line) => line.split(' ').at(-1))).to.deep.equal(['out/', 'out/seen']);
    });

    it('with a name take the place of images: a URL, a repository, a layout, another image', async () => {
      web.files.set('/one.txt', { body: 'one file' });
      const layout = join(tmpDir(), 'layout');
      const other = dockerfile('FROM scratch\nCOPY <<EOF /x\nof the layout\nEOF\nENV FROM_LAYOUT=1\n');
      await tsbuild.must([
        other,
        '-t',
        'stand-in',
        '-o',
        `type=oci,tar=false,dest=${layout}`,
        '-o',
        'type=image',
      ]);
      const context = dockerfile('FROM scratch\nCOPY --from=some / /\n');
      expect(await fileOf(context, 'one.txt', '--build-context', `some=${web.url}/one.txt`)).to.equal(
        'one file',
      );
      expect(await fileOf(context, 'x', '--build-context', 'some=docker-image://stand-in')).to.equal(
        'of the layout\n',
      );
      expect(await fileOf(context, 'x', '--build-context', `some=oci-layout://${layout}`)).to.equal(
        'of the layout\n',
      );
      const based = dockerfile('FROM nowhere:1\nCOPY .keep /\n');
      await tsbuild.must([based, '-t', 'based', '--build-context', 'nowhere:1=docker-image://stand-in']);
      const [image] = JSON.parse((await tsbuild.must(['inspect', 'based'])).stdout) as [
        { Config: { Env: string[] } },
      ];
      expect(image.Config.Env).to.include('FROM_LAYOUT=1');
    });

    it('with a platform in the name count for that platform only', async () => {
      const plain = makeContext({ which: 'plain' });
      const special = makeContext({ which: 'arm' });
      const context = dockerfile('FROM scratch\nCOPY --from=some which /\n');
      const options = ['--build-context', `some=${plain}`, '--build-context', `some::linux/arm64=${special}`];
      expect(await fileOf(context, 'which', ...options)).to.equal('plain');
      expect(await fileOf(context, 'which', ...options, '--platform', 'linux/arm64')).to.equal('arm');
    });

    it('with the names of the main context or of scratch are refused', async () => {
      const result = await tsbuild.run([dockerfile('FROM scratch\n'), '--build-context', 'context=.']);
      expect(result.status).to.equal(2);
      expect(result.stderr).to.contain('reserved name');
    });
  });

  describe('SOURCE_DATE_EPOCH', () => {
    let web: WebServer;
    before(async () => void (web = await startWebServer()));
    after(() => web.stop());

    async function created(context: string, ...options: string[]): Promise<number> {
      await tsbuild.must([context, '-t', 'epoch', ...options]);
      const [image] = JSON.parse((await tsbuild.must(['inspect', 'epoch'])).stdout) as [{ Created: string }];
      return Date.parse(image.Created) / 1000;
    }

    it('comes from the environment, a build argument, a default, and a stage with one remote ADD', async () => {
      const plain = dockerfile('FROM scratch\nCOPY .keep /\n');
      expect(await created(plain, '--build-arg', 'SOURCE_DATE_EPOCH=1234')).to.equal(1234);
      await tsbuild.must([plain, '-t', 'epoch'], { env: { SOURCE_DATE_EPOCH: '2345' } });
      expect((await tsbuild.must(['inspect', 'epoch'])).stdout).to.contain('1970-01-01T00:39:05Z');
      expect(await created(dockerfile('ARG SOURCE_DATE_EPOCH=3456\nFROM scratch\nCOPY .keep /\n'))).to.equal(
        3456,
      );
      web.files.set('/dated', { body: 'x', headers: { 'last-modified': EPOCH_2017 } });
      const staged = `ARG SOURCE_DATE_EPOCH=source\nFROM scratch AS source\nADD ${web.url}/dated /\nFROM scratch\nCOPY .keep /\n`;
      expect(await created(dockerfile(staged))).to.equal(1485363553);
    });

    it('takes files back to its time, and refuses what is no time', async () => {
      const context = dockerfile('FROM scratch\nCOPY .keep /\n');
      const lines = await listing(context, '--build-arg', 'SOURCE_DATE_EPOCH=1000');
      expect(lines.at(-1)).to.contain('1970-01-01 00:16:40');
      const result = await tsbuild.run([context, '--build-arg', 'SOURCE_DATE_EPOCH=tomorrow']);
      expect(result.status).to.equal(2);
      expect(result.stderr).to.contain('invalid SOURCE_DATE_EPOCH: tomorrow');
    });
  });

  it('a build argument comes from a file', async () => {
    const context = dockerfile('FROM scratch\nARG A\nARG B\nLABEL a=$A b=$B\n');
    writeFileSync(join(context, 'args'), '# comment\nA=from the file\n\nB=file\n');
    await tsbuild.must([
      context,
      '-t',
      'args',
      '--build-arg-file',
      join(context, 'args'),
      '--build-arg',
      'B=flag',
    ]);
    const { stdout } = await tsbuild.must(['inspect', 'args']);
    expect(stdout).to.contain('"a": "from the file"').and.to.contain('"b": "flag"');
  });
});
