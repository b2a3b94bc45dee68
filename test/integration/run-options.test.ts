import { expect } from 'chai';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { forwardSocket } from '../../src/worker/ops/ssh-agents.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('RUN with more than it has by itself', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  const dir = tmpDir();
  const socket = join(dir, 'agent.sock');
  let agent: ChildProcess | undefined;

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' }, { program: 'ssh-agent' });
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'the key', '-f', join(dir, 'key')]);
    agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    while (!statSync(socket, { throwIfNoEntry: false }))
      await new Promise((resolve) => setTimeout(resolve, 10));
    execFileSync('ssh-add', ['-q', join(dir, 'key')], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  });
  after(() => void agent?.kill());

  const step = (line: string) => makeContext({ Dockerfile: `FROM base\n${line}\n` });

  async function outputOf(context: string, ...options: string[]): Promise<string> {
    await tsbuild.must([context, '-t', 'out', ...options]);
    return (await tsbuild.must(['run', 'out', 'cat', '/out'])).stdout;
  }

  describe('an ssh agent', () => {
    it('answers through the forwarded socket, which has the owner and mode that were asked for', async function () {
      needs(this, 'root');
      const own = join(tmpDir(), 'a'.repeat(90));
      mkdirSync(own);
      const forward = await forwardSocket(socket, own, { mode: 0o640, uid: 7, gid: 8 });
      try {
        const { mode, uid, gid } = statSync(forward.path);
        expect([mode & 0o777, uid, gid]).to.deep.equal([0o640, 7, 8]);
        const listed = await new Promise<string>((resolve, reject) => {
          const short = join(tmpDir(), 's');
          execFileSync('ln', ['-s', forward.path, short]);
          const child = spawn('ssh-add', ['-l'], { env: { ...process.env, SSH_AUTH_SOCK: short } });
          let text = '';
          child.stdout.on('data', (chunk) => (text += String(chunk)));
          child.on('error', reject).on('close', () => resolve(text));
        });
        expect(listed).to.contain('the key');
      } finally {
        forward.close();
        rmSync(own, { recursive: true, force: true });
      }
    });

    it('is in SSH_AUTH_SOCK of the step, and nowhere in the image', async () => {
      const context = step(
        'RUN --mount=type=ssh,mode=0600,uid=1000 --mount=type=ssh,id=other,target=/other stat -c "%F %a %u" $SSH_AUTH_SOCK > /out && echo $SSH_AUTH_SOCK >> /out && ls /other >> /out\nRUN ls /run 2>&1 >> /out | grep -c "No such" >> /out; echo "[$SSH_AUTH_SOCK]" >> /out',
      );
      const text = await outputOf(
        context,
        '--ssh',
        `default=${socket}`,
        '--ssh',
        `other=${join(dir, 'key')}`,
      );
      expect(text).to.equal('socket 600 1000\n/run/buildkit/ssh_agent.0\n/other\n1\n[]\n');
    });

    it('is left out where none was given, and asked for where it is required', async () => {
      expect(await outputOf(step('RUN --mount=type=ssh echo "[$SSH_AUTH_SOCK]" > /out'))).to.equal('[]\n');
      const result = await tsbuild.run([step('RUN --mount=type=ssh,required true')]);
      expect(result.status).to.equal(1);
      expect(result.stderr).to.contain('no SSH key "default" forwarded').and.to.contain('--ssh default');
    });

    it('that is a key with a passphrase or a missing file is named', async () => {
      const result = await tsbuild.run([step('RUN --mount=type=ssh true'), '--ssh', 'default=/nowhere']);
      expect(result.status).to.equal(1);
      expect(result.stderr).to.contain('"/nowhere" does not exist');
    });
  });

  it('has a /dev/shm of the size that was asked for', async () => {
    const context = step("RUN mount | grep ' /dev/shm ' > /out");
    expect(await outputOf(context, '--shm-size', '128m')).to.contain('size=131072k');
    expect(await outputOf(context)).to.contain('size=65536k');
  });

  it('has the limits that were asked for', async () => {
    const context = step('RUN ulimit -Sn > /out; ulimit -Hn >> /out');
    expect(await outputOf(context, '--ulimit', 'nofile=333:444')).to.equal('333\n444\n');
    const result = await tsbuild.run([context, '--ulimit', 'nofile']);
    expect(result.stderr).to.contain('invalid ulimit "nofile"');
  });

  for (const [flag, right, probe] of [
    ['--security=insecure', 'security.insecure', 'mount -t tmpfs none /mnt'],
    ['--network=host', 'network.host', 'true'],
  ] as const) {
    it(`may ask for ${flag} with --allow ${right} only`, async () => {
      const context = step(`RUN ${flag} mkdir -p /mnt && ${probe} && echo ok > /out`);
      const refused = await tsbuild.run([context]);
      expect(refused.status).to.equal(1);
      expect(refused.stderr).to.contain('NOT_PERMITTED').and.to.contain(`--allow ${right}`);
      expect(await outputOf(context, '--allow', right)).to.equal('ok\n');
    });
  }

  it('says that it knows no devices', async () => {
    const result = await tsbuild.run([step('RUN --device=vendor.com/device=card true')]);
    expect(result.status).to.equal(2);
    expect(result.stderr).to.contain('the device "vendor.com/device=card" is not available');
  });
});

describe('what is said of a Dockerfile without building it', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  const file = [
    '# VERSION of the tool',
    'ARG VERSION=1',
    'ARG UNUSED=2',
    '# build compiles',
    'FROM nowhere.invalid/image:$VERSION AS build',
    '# TOKEN for downloads',
    'ARG TOKEN=hidden',
    'RUN --mount=type=secret,id=key,required --mount=type=ssh --mount=type=cache,target=/c true',
    'FROM scratch',
    'COPY --from=build /a /a',
    '',
  ].join('\n');

  it('outline: arguments, secrets, agents and caches of the target, without asking for its images', async () => {
    const context = makeContext({ Dockerfile: file });
    const { stdout } = await tsbuild.must([context, '--call=outline']);
    expect(stdout).to.match(/VERSION +1 +of the tool/);
    expect(stdout).to.match(/TOKEN +\*{5} +for downloads/);
    expect(stdout).to.not.contain('UNUSED').and.to.not.contain('hidden');
    const json = JSON.parse((await tsbuild.must([context, '--call=outline,format=json'])).stdout) as {
      secrets: unknown[];
      ssh: unknown[];
      cache: unknown[];
    };
    expect(json.secrets).to.deep.equal([
      { name: 'key', required: true, location: { ranges: [{ start: { line: 8 }, end: { line: 8 } }] } },
    ]);
    expect(json.ssh).to.have.length(1);
    expect(json.cache).to.have.length(1);
  });

  it('targets: stages with their descriptions', async () => {
    const context = makeContext({ Dockerfile: file });
    const { stdout } = await tsbuild.must([context, '--call=targets']);
    expect(stdout).to.match(/build +nowhere.invalid\/image:\$VERSION +compiles\n1 \(default\) +scratch/);
  });

  it('check: status 0 without a finding, 1 with one, the excerpt and the page of the rule', async () => {
    const good = await tsbuild.run([makeContext({ Dockerfile: 'FROM scratch\n' }), '--check']);
    expect([good.status, good.stdout]).to.deep.equal([0, 'Check complete, no warnings found.\n']);
    const bad = await tsbuild.run([makeContext({ Dockerfile: 'FROM scratch\nMAINTAINER x\n' }), '--check']);
    expect(bad.status).to.equal(1);
    expect(bad.stdout).to.contain('WARNING: MaintainerDeprecated - docs/rules/MaintainerDeprecated.md');
    expect(bad.stdout).to.contain('>>> MAINTAINER x');
    const json = await tsbuild.run([
      makeContext({ Dockerfile: 'FROM scratch\nMAINTAINER x\n' }),
      '--call=check,format=json',
    ]);
    const { warnings } = JSON.parse(json.stdout) as { warnings: { ruleName: string }[] };
    expect(warnings.map((warning) => warning.ruleName)).to.deep.equal(['MaintainerDeprecated']);
  });

  it('check: an error is shown beside what was found before it', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nMAINTAINER x\nEXPOSE nothing\n' });
    const result = await tsbuild.run([context, '--check']);
    expect(result.status).to.equal(2);
    expect(result.stdout).to.contain('MaintainerDeprecated');
    expect(result.stderr).to.contain('invalid containerPort');
  });

  it('a build fails on a finding where the file says error=true', async () => {
    const context = makeContext({ Dockerfile: '# check=error=true\nFROM scratch\nMAINTAINER x\n' });
    const result = await tsbuild.run([context]);
    expect(result.status).to.equal(2);
    expect(result.stderr).to.contain('lint violation found for rules: MaintainerDeprecated');
  });

  it('--check-extra asks tsbuild’s own rules, too', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nADD Dockerfile /x\n' });
    expect((await tsbuild.run([context, '--check'])).status).to.equal(0);
    expect((await tsbuild.run([context, '--check-extra'])).stdout).to.contain('AddInsteadOfCopy');
  });

  it('describe: the calls that there are, with BuildKit’s names for machines, and no Dockerfile is needed', async () => {
    const empty = tmpDir();
    for (const name of ['subrequests.describe', 'describe', 'help', 'frontend.subrequests.describe']) {
      const { stdout } = await tsbuild.must([empty, `--call=${name}`]);
      expect(stdout).to.match(/^NAME +VERSION +DESCRIPTION\noutline +1\.0\.0 +\S/);
      expect(stdout)
        .to.match(/\ncheck +1/)
        .and.to.match(/\nconvertllb +0/);
    }
    const { stdout } = await tsbuild.must([empty, '--call=subrequests.describe,format=json']);
    const calls = JSON.parse(stdout) as { name: string; version: string; description: string }[];
    expect(calls.map((call) => call.name)).to.deep.equal([
      'frontend.outline',
      'frontend.targets',
      'frontend.lint',
      'frontend.convertllb',
      'frontend.subrequests.describe',
    ]);
    for (const { version, description } of calls) expect([version, description]).to.not.include('');
  });

  it('each call of the list is one that can be made', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\n' });
    const { stdout } = await tsbuild.must([context, '--call=describe,format=json']);
    for (const { name } of JSON.parse(stdout) as { name: string }[])
      JSON.parse((await tsbuild.must([context, `--call=${name},format=json`])).stdout);
  });

  describe('convertllb', () => {
    interface Document {
      version: number;
      vertices: {
        digest: string;
        name: string;
        op: Record<string, unknown>;
        inputs: { vertex: string; index: number }[];
        locations: unknown[];
      }[];
      targets: { platform: { os: string }; head: { vertex: string; index: number } }[];
      sources: { filename: string; data: string }[];
    }
    const staged = [
      'FROM scratch AS first',
      'COPY a /a',
      'FROM scratch AS unused',
      'COPY a /unused',
      'FROM first',
      'ARG API_TOKEN=in-the-file',
      'RUN ["/a", "x"]',
      'COPY --from=first --chmod=640 \\',
      '  /a /b/',
      '',
    ].join('\n');

    async function documentOf(context: string, ...options: string[]): Promise<Document> {
      return JSON.parse((await tsbuild.must([context, '--call=convertllb', ...options])).stdout) as Document;
    }

    it('gives the vertices of the target, each after its inputs, with op, inputs and lines', async () => {
      const document = await documentOf(makeContext({ Dockerfile: staged, a: 'x' }));
      expect(document.version).to.equal(1);
      expect(document.vertices.map(({ op }) => op['kind'])).to.deep.equal(['source', 'file', 'exec', 'file']);
      const [context, first, exec, last] = document.vertices as [
        Document['vertices'][0],
        Document['vertices'][0],
        Document['vertices'][0],
        Document['vertices'][0],
      ];
      expect(context.op['identifier']).to.equal('local://context');
      expect(first.inputs).to.deep.equal([{ vertex: context.digest, index: 0 }]);
      expect(exec.inputs).to.deep.equal([{ vertex: first.digest, index: 0 }]);
      expect(exec.op).to.deep.include({
        args: ['/a', 'x'],
        cwd: '/',
        network: 'default',
        security: 'sandbox',
      });
      expect(last.inputs.map(({ vertex }) => vertex)).to.deep.equal([exec.digest, first.digest]);
      expect(last.op['actions']).to.deep.equal([
        {
          kind: 'copy',
          input: 1,
          source: '/a',
          destination: '/b',
          destinationIsDirectory: true,
          allowWildcard: true,
          unpack: false,
          mode: 0o640,
        },
      ]);
      expect(last.locations).to.deep.equal([
        { filename: 'Dockerfile', ranges: [{ start: { line: 8 }, end: { line: 9 } }] },
      ]);
      expect(document.targets.map(({ head }) => head)).to.deep.equal([{ vertex: last.digest, index: 0 }]);
      expect(Buffer.from(document.sources[0]!.data, 'base64').toString()).to.equal(staged);
    });

    it('gives the same for the same, and the vertices of each platform', async () => {
      const context = makeContext({ Dockerfile: staged, a: 'x' });
      const platforms = ['--platform', 'linux/amd64,linux/arm64'];
      const document = await documentOf(context, ...platforms);
      expect(await documentOf(context, ...platforms, '--call=convertllb,format=json')).to.deep.equal(
        document,
      );
      expect(document.targets).to.have.length(2);
      const digests = document.vertices.map(({ digest }) => digest);
      expect(new Set(digests)).to.have.length(digests.length);
      document.vertices.forEach(({ inputs }, i) => {
        for (const { vertex } of inputs) expect(digests.indexOf(vertex)).to.be.within(0, i - 1);
      });
    });

    it('shows no secret: of --secret, of a variable whose name says it, of a URL', async () => {
      const context = makeContext({
        Dockerfile: [
          'FROM scratch',
          'ARG API_TOKEN SPEC',
          'COPY . /',
          'RUN ["/a", "the-real-secret"]',
          'COPY <<END /f',
          'the-real-secret',
          'END',
          '',
        ].join('\n'),
        a: '',
      });
      const { stdout } = await tsbuild.must(
        [
          context,
          '--call=convertllb',
          '--secret=id=s,env=S',
          '--build-arg=API_TOKEN=argument-value',
          '--build-arg=SPEC=the-real-secret',
          '--build-arg=HTTPS_PROXY=http://user:proxy-pass@localhost:1',
        ],
        { env: { S: 'the-real-secret' } },
      );
      const sources = (JSON.parse(stdout) as Document).sources.map(({ data }) =>
        Buffer.from(data, 'base64').toString(),
      );
      for (const secret of ['the-real-secret', 'argument-value', 'proxy-pass'])
        expect(stdout + sources.join('')).to.not.contain(secret);
      expect(stdout).to.contain('API_TOKEN=*****').and.to.contain('SPEC=***');
    });

    it('refuses what the build refuses: an image that is not there, a right that nobody gave', async () => {
      for (const [text, words] of [
        ['FROM scratch\nCOPY --from=nowhere.invalid/x /a /\n', 'nowhere.invalid'],
        ['FROM scratch\nRUN --network=host ["/a"]\n', '--allow network.host'],
      ] as const) {
        const result = await tsbuild.run([makeContext({ Dockerfile: text }), '--call=convertllb']);
        expect(result.status).to.not.equal(0);
        expect(result.stdout).to.equal('');
        expect(result.stderr).to.contain(words);
      }
    });
  });

  it('an error of a call shows no secret and no password of a URL', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nARG SPEC\nEXPOSE $SPEC\n' });
    const spec = ['--secret=id=s,env=S', '--build-arg=SPEC=the-real-secret'];
    for (const call of ['check', 'outline', 'convertllb']) {
      const result = await tsbuild.run([context, `--call=${call}`, ...spec], {
        env: { S: 'the-real-secret' },
      });
      expect(result.status).to.equal(2);
      expect(result.stderr).to.contain('***').and.to.not.contain('the-real-secret');
      const remote = await tsbuild.run(['http://user:pass-word@127.0.0.1:1/x.git', `--call=${call}`]);
      expect(remote.stderr).to.contain('127.0.0.1').and.to.not.contain('pass-word');
    }
  });

  it('a call that is not known is refused', async () => {
    const result = await tsbuild.run(['.', '--call=guess']);
    expect(result.status).to.equal(2);
    expect(result.stderr).to.contain('outline');
  });
});

describe('--verify-reproducible', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });

  it('is content with a step that writes the same, times aside', async () => {
    const context = makeContext({ Dockerfile: 'FROM base\nRUN echo same > /f\n' });
    await tsbuild.must([context, '--verify-reproducible', '--build-arg', 'SOURCE_DATE_EPOCH=1000']);
  });

  it('names each file that differs, and its step', async () => {
    const context = makeContext({
      Dockerfile: 'FROM base\nRUN head -c 8 /dev/urandom > /f; echo same > /g\n',
    });
    const args = [context, '--verify-reproducible', '--build-arg', 'SOURCE_DATE_EPOCH=1000', '-t', 'never'];
    const result = await tsbuild.run(args);
    expect(result.status).to.equal(1);
    expect(result.stderr)
      .to.contain('differ in 1 file')
      .and.to.match(/\/f: content +<- RUN .*head -c 8/);
    expect((await tsbuild.run(['inspect', 'never'])).status).to.not.equal(0);
  });
});
