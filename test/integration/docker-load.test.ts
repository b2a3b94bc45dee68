import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, PROJECT, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { type Engine, startEngine } from '../kit/engine.js';
import { findProgram, needs } from '../kit/needs.js';
import { type RecordingProxy, startRecordingProxy } from '../kit/recording-proxy.js';
import { freePort, startRegistry } from '../kit/registry.js';
import { runAsStoreOwner } from '../kit/store-owner.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Gives the store an image "alpine" of busybox. */
async function importBase(tsbuild: ReturnType<typeof tsbuildIn>): Promise<void> {
  const rootfs = makeBaseRootfs();
  const tar = join(tmpDir(), 'rootfs.tar');
  execFileSync('tar', ['--numeric-owner', '--owner=0', '--group=0', '-cf', tar, '-C', rootfs, '.']);
  await tsbuild.must(['import', tar, 'alpine']);
}

/** A directory with an authority and one certificate of it, for localhost and for clients, under Docker's names. */
async function makeCertificates(): Promise<string> {
  const cwd = tmpDir();
  writeFileSync(
    join(cwd, 'extensions'),
    'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  const key = (name: string, ...args: string[]) =>
    mustRun(
      'openssl',
      ['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name, '-subj', `/CN=${name}`, ...args],
      {
        cwd,
      },
    );
  await key('ca-key.pem', '-x509', '-days', '10', '-out', 'ca.pem');
  await key('key.pem', '-out', 'request');
  const authority = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-extfile', 'extensions'];
  await mustRun(
    'openssl',
    ['x509', '-req', '-in', 'request', '-out', 'cert.pem', '-days', '10', ...authority],
    {
      cwd,
    },
  );
  return cwd;
}

describe('images in other tools', function () {
  this.timeout(120_000);
  const tsbuild = tsbuildIn(tmpDir());
  const out = tmpDir();

  before(async function () {
    needs(this, 'builder', { program: 'busybox' }, { program: 'skopeo' }, { program: 'umoci' });
    await importBase(tsbuild);
    await tsbuild.must([join(PROJECT, 'examples/hello'), '-t', 'test']);
  });

  describe('Docker', () => {
    let engine: Engine | undefined;

    before(async function () {
      needs(this, 'root', { program: 'dockerd' });
      engine = await startEngine();
    });

    after(() => engine?.stop());

    it('loads a saved image and runs it', async () => {
      const archive = join(out, 'test.tar');
      await tsbuild.must(['save', 'test:latest', '-o', archive]);
      expect(await engine!.must('load', '-i', archive)).to.contain('test:latest');
      expect(await engine!.must('run', '--rm', '--network', 'host', 'test')).to.equal('Hallo\n');
    });

    it('shows the config and the history that the Dockerfile says', async () => {
      const archive = join(out, 'config.tar');
      const context = makeContext({
        Dockerfile:
          'FROM alpine\nENV A=1 B="two words"\nLABEL l=v\nEXPOSE 80\nWORKDIR /w\nCOPY f .\nUSER app\nENTRYPOINT ["cat"]\nCMD ["f"]\n',
        f: 'content\n',
      });
      await tsbuild.must([context, '-t', 'configured:1', '-o', `type=docker,dest=${archive}`]);
      await engine!.must('load', '-i', archive);
      const inspected = JSON.parse(await engine!.must('inspect', 'configured:1')) as {
        Config: Record<string, unknown>;
      }[];
      const config = inspected[0]!.Config;
      expect(config['Env']).to.include.members(['A=1', 'B=two words']);
      expect(config).to.deep.include({
        Labels: { l: 'v' },
        WorkingDir: '/w',
        User: 'app',
        Entrypoint: ['cat'],
        Cmd: ['f'],
        ExposedPorts: { '80/tcp': {} },
      });
      const history = await engine!.must(
        'history',
        '--no-trunc',
        '--format',
        '{{.CreatedBy}}',
        'configured:1',
      );
      expect(history.trim().split('\n').reverse().slice(-8)).to.deep.equal([
        'ENV A=1 B=two words',
        'LABEL l=v',
        'EXPOSE [80/tcp]',
        'WORKDIR /w',
        'COPY f . # buildkit',
        'USER app',
        'ENTRYPOINT ["cat"]',
        'CMD ["f"]',
      ]);
      expect(await engine!.must('run', '--rm', '--network', 'host', 'configured:1')).to.equal('content\n');
    });

    it('saves an image that tsbuild loads with the same image ID', async () => {
      const archive = join(out, 'from-docker.tar');
      await engine!.must('tag', 'test', 'from-docker:1');
      await engine!.must('save', 'from-docker:1', '-o', archive);
      const { stdout } = await tsbuild.must(['load', '-i', archive]);
      expect(stdout).to.equal('loaded docker.io/library/from-docker:1\n');
      const [saved] = JSON.parse(await mustRun('tar', ['-xOf', archive, 'manifest.json'])) as {
        Config: string;
      }[];
      const [own] = JSON.parse((await tsbuild.must(['inspect', 'from-docker:1'])).stdout) as { Id: string }[];
      expect(saved!.Config).to.contain(own!.Id.slice('sha256:'.length));
      expect((await tsbuild.must(['run', 'from-docker:1'])).stdout).to.equal('Hallo\n');
    });

    describe('with --load', () => {
      let proxy: RecordingProxy;
      const bigBytes = 6 << 20;
      const big = randomBytes(bigBytes);
      const small = 100_000;

      /** A context whose last step copies `text`. */
      const contextOf = (text: string) =>
        makeContext({
          Dockerfile: 'FROM alpine\nCOPY big /\nCOPY src /\nCMD ["cat", "/src"]\n',
          big,
          src: text,
        });

      /** What a load asked of the engine, and how much it sent. */
      async function load(
        args: readonly string[],
        host = `tcp://${proxy.host}`,
      ): Promise<{ requests: readonly string[]; sentBytes: number; log: string }> {
        [proxy.requests.length, proxy.uploadedBytes] = [0, 0];
        const env = { DOCKER_HOST: host };
        const { stderr } = await tsbuild.must([...args, '--progress=plain'], { env });
        const requests = proxy.requests.filter((request) => request.startsWith('POST'));
        return { requests, sentBytes: proxy.uploadedBytes, log: stderr };
      }

      const run = (image: string) => engine!.must('run', '--rm', '--network', 'host', image);

      /** Fails where the engine has not all of the image: `docker save` reads every layer. */
      async function expectEqualAfterSave(name: string): Promise<void> {
        const archive = join(out, 'saved-again.tar');
        const layersOf = async () => {
          const inspected = JSON.parse((await tsbuild.must(['inspect', name])).stdout) as {
            Id: string;
            RootFS: { Layers: string[] };
          }[];
          return { id: inspected[0]!.Id, layers: inspected[0]!.RootFS.Layers };
        };
        const own = await layersOf();
        await engine!.must('save', name, '-o', archive);
        await tsbuild.must(['rmi', name]);
        await tsbuild.must(['load', '-i', archive]);
        expect(await layersOf()).to.deep.equal(own);
      }

      before(async () => {
        proxy = await startRecordingProxy(engine!.host);
      });

      after(() => proxy.stop());

      beforeEach(async () => {
        proxy.before = async () => undefined;
        const ids = (await engine!.must('images', '-aq')).split('\n').filter(Boolean);
        if (ids.length > 0) await engine!.must('rmi', '-f', ...new Set(ids));
      });

      it('sends the whole image to an engine that has nothing of it', async () => {
        const { sentBytes, log } = await load([contextOf('one\n'), '-t', 'app', '--load']);
        expect(sentBytes).to.be.greaterThan(bigBytes);
        expect(log).to.match(/#\d+ sent 3 layers \(\d[\d.]*MB\) to Docker\n/);
        expect(await run('app')).to.equal('one\n');
        await expectEqualAfterSave('app');
      });

      it('sends one small layer after one file changed', async () => {
        await load([contextOf('one\n'), '-t', 'app', '--load']);
        const { sentBytes, requests, log } = await load([
          contextOf('two\n'),
          '-t',
          'app',
          '-o',
          'type=docker',
        ]);
        expect(sentBytes).to.be.lessThan(small);
        expect(requests).to.deep.equal(['POST /images/load?quiet=1 200']);
        expect(log).to.match(/sent 1 layer \([\d.]+kB\) to Docker; there already: 2 layers \([\d.]+MB\)\n/);
        expect(await run('app')).to.equal('two\n');
        await expectEqualAfterSave('app');
      });

      it('sends nothing of an image that is there', async () => {
        const args = [contextOf('one\n'), '-t', 'app', '--load'];
        await load(args);
        const { requests, log } = await load(args);
        expect(requests).to.deep.equal([]);
        expect(log).to.contain('nothing was sent');
      });

      it('only gives another name to an image that is there', async () => {
        const context = contextOf('one\n');
        await load([context, '-t', 'app', '--load']);
        const { requests } = await load([context, '-t', 'localhost:5000/other/app:v2', '--load']);
        expect(requests).to.deep.equal([
          `POST /images/${await idOf('app')}/tag?repo=localhost%3A5000%2Fother%2Fapp&tag=v2 201`,
        ]);
        expect(await run('localhost:5000/other/app:v2')).to.equal('one\n');
      });

      it('gives all of the names that were asked for, in place of what had them', async () => {
        await load([contextOf('one\n'), '-t', 'app', '-t', 'app:1', '--load']);
        const { sentBytes } = await load([contextOf('two\n'), '-t', 'app', '-t', 'app:2', '--load']);
        expect(sentBytes).to.be.lessThan(small);
        expect(await Promise.all(['app', 'app:1', 'app:2'].map(run))).to.deep.equal([
          'two\n',
          'one\n',
          'two\n',
        ]);
      });

      it('loads an image without a name', async () => {
        const idFile = join(out, 'iid');
        await load([
          contextOf('one\n'),
          '--load',
          '--iidfile',
          idFile,
          '--metadata-file',
          join(out, 'metadata'),
        ]);
        const { 'containerimage.digest': manifest } = JSON.parse(
          readFileSync(join(out, 'metadata'), 'utf8'),
        ) as Record<string, string>;
        const ids = (await engine!.must('images', '-q', '--no-trunc')).trim().split('\n');
        expect(ids).to.have.length(1);
        expect([readFileSync(idFile, 'utf8'), manifest]).to.include(ids[0]);
        expect(await run(ids[0]!)).to.equal('one\n');
      });

      it('finds layers in images with other names', async () => {
        await load([contextOf('one\n'), '-t', 'first', '--load']);
        const { sentBytes } = await load([contextOf('two\n'), '-t', 'second', '--load']);
        expect(sentBytes).to.be.lessThan(small);
        expect(await run('second')).to.equal('two\n');
      });

      it('sends the whole image again after it was removed', async () => {
        const args = [contextOf('one\n'), '-t', 'app', '--load'];
        await load(args);
        await engine!.must('rmi', '-f', 'app');
        const { sentBytes } = await load(args);
        expect(sentBytes).to.be.greaterThan(bigBytes);
        expect(await run('app')).to.equal('one\n');
      });

      it('sends the whole image when what was there goes between question and archive', async () => {
        await load([contextOf('one\n'), '-t', 'app', '--load']);
        let removed = false;
        proxy.before = async (_method, path) => {
          if (!path.startsWith('/images/load') || removed) return;
          removed = true;
          await engine!.must('rmi', '-f', 'app');
        };
        const { requests, sentBytes } = await load([contextOf('two\n'), '-t', 'app', '--load']);
        expect(requests.filter((request) => request.includes('/images/load'))).to.have.length(2);
        expect(sentBytes).to.be.greaterThan(bigBytes);
        expect(await run('app')).to.equal('two\n');
        await expectEqualAfterSave('app');
      });

      describe('that begins before its archive is there', () => {
        let local: RecordingProxy;
        /** In the order in which the engine heard of them. */
        const heard: string[] = [];
        const temporary = () => readdirSync(join(dirname(engine!.host.slice('unix://'.length)), 'data/tmp'));

        before(async function () {
          if (process.env['TSBUILD_TEST_ENGINE'] !== undefined) this.skip();
          local = await startRecordingProxy(engine!.host, join(tmpDir(), 'sock'));
        });

        after(() => local?.stop());

        beforeEach(() => {
          heard.length = 0;
          local.before = async (method, path) => void heard.push(`${method} ${path}`);
        });

        /** A context whose files are known by their times, with its image in the engine. */
        async function knownContext(): Promise<string> {
          const context = contextOf('one\n');
          // What is younger is not remembered.
          await sleep(2_100);
          await load([context, '-t', 'app', '--load']);
          return context;
        }

        it('sends the rest of it to what unpacks it already', async () => {
          const context = await knownContext();
          writeFileSync(join(context, 'src'), 'three\n');
          const { log } = await load([context, '-t', 'app', '--load'], `unix://${local.host}`);
          expect(heard[0]).to.equal('POST /images/load?quiet=1');
          expect(heard.filter((one) => one.startsWith('POST'))).to.have.length(1);
          expect(local.uploadedBytes).to.be.lessThan(small);
          expect(log).to.match(/sent 1 layer/);
          expect(await run('app')).to.equal('three\n');
          await expectEqualAfterSave('app');
          expect(temporary()).to.deep.equal([]);
        });

        it('does not begin for a context that is new, or of which nothing changed', async () => {
          await load([contextOf('new\n'), '-t', 'app', '--load'], `unix://${local.host}`);
          expect(heard[0]).to.match(/^GET/);
          heard.length = 0;
          await load([await knownContext(), '-t', 'app', '--load'], `unix://${local.host}`);
          expect(heard.filter((one) => one.startsWith('POST'))).to.deep.equal([]);
        });

        it('loads anew where the engine answered, or hung up, meanwhile', async () => {
          const context = await knownContext();
          for (const [text, refusal] of [
            ['four\n', 503],
            ['five\n', 0],
          ] as const) {
            let loads = 0;
            local.refuse = (_, path) => (path.includes('/load') && ++loads === 1 ? refusal : undefined);
            writeFileSync(join(context, 'src'), text);
            await load([context, '-t', 'app', '--load'], `unix://${local.host}`);
            local.refuse = () => undefined;
            expect(loads).to.equal(2);
            expect(await run('app')).to.equal(text);
          }
        });

        it('is given up by a build that takes long or fails, and leaves nothing there', async () => {
          const context = makeContext({
            Dockerfile: 'FROM alpine\nARG end=true\nCOPY src /\nRUN sleep 2 && $end\n',
            src: 'six\n',
          });
          await sleep(2_100);
          await load([context, '-t', 'app', '--load']);
          writeFileSync(join(context, 'src'), 'seven\n');
          const env = { DOCKER_HOST: engine!.host };
          const failed = await tsbuild.run([context, '--load', '--build-arg', 'end=false'], { env });
          expect(failed.status, failed.stderr).to.equal(1);
          expect(temporary()).to.deep.equal([]);
          writeFileSync(join(context, 'src'), 'eight\n');
          const { log } = await load([context, '-t', 'app', '--load'], `unix://${local.host}`);
          expect(heard[0]).to.equal('POST /images/load?quiet=1');
          expect(heard.filter((one) => one.startsWith('POST'))).to.have.length(2);
          expect(log).to.match(/sent \d layers?/);
          expect(await engine!.must('run', '--rm', '--network', 'host', 'app', 'cat', '/src')).to.equal(
            'eight\n',
          );
          expect(temporary()).to.deep.equal([]);
        });
      });

      it('does not fetch layers of the base that the engine has, for steps that write no files', async function () {
        needs(this, { program: 'docker-registry' });
        const registry = await startRegistry();
        const recorded = await startRecordingProxy(registry.host);
        try {
          const base = `${recorded.host}/base:1`;
          await tsbuild.must([contextOf('base\n'), '-t', base, '--push']);
          await engine!.must('pull', base);
          recorded.requests.length = 0;
          const context = makeContext({ Dockerfile: `FROM ${base}\nLABEL own=1\n` });
          const env = { DOCKER_HOST: engine!.host, TSBUILD_ROOT: tmpDir() };
          await tsbuild.must([context, '-t', 'own', '--load'], { env });
          expect(await run('own')).to.equal('base\n');
          const blobs = recorded.requests.filter((request) => request.includes('/blobs/'));
          expect(blobs, 'the config').to.have.length(1);
        } finally {
          await recorded.stop();
          await registry.stop();
        }
      });

      it('sends what two targets of bake have in common once', async () => {
        const context = makeContext({
          'docker-bake.json': JSON.stringify({
            group: { default: { targets: ['one', 'two'] } },
            target: Object.fromEntries(
              ['one', 'two'].map((name) => [
                name,
                { context: '.', args: { NAME: name }, tags: [`bake-${name}`], output: ['type=docker'] },
              ]),
            ),
          }),
          Dockerfile: 'FROM alpine\nCOPY big /\nARG NAME\nCOPY $NAME /src\nCMD ["cat", "/src"]\n',
          big,
          one: 'one\n',
          two: 'two\n',
        });
        [proxy.requests.length, proxy.uploadedBytes] = [0, 0];
        await tsbuild.must(['bake'], { cwd: context, env: { DOCKER_HOST: `tcp://${proxy.host}` } });
        expect(proxy.uploadedBytes)
          .to.be.greaterThan(bigBytes)
          .and.lessThan(1.5 * bigBytes);
        expect(await Promise.all(['bake-one', 'bake-two'].map(run))).to.deep.equal(['one\n', 'two\n']);
      });

      it('loads an image of another platform', async () => {
        const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY f /\n', f: 'x\n' });
        await load([context, '-t', 'foreign', '--platform', 'linux/arm64', '--load']);
        expect(await engine!.must('inspect', '-f', '{{.Architecture}}', 'foreign')).to.equal('arm64\n');
      });

      it('loads several platforms where the engine keeps them, and else says that it cannot', async () => {
        const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY f /\n', f: 'x\n' });
        const metadata = join(out, 'multi.json');
        const platforms = 'linux/amd64,linux/arm64';
        const args = [context, '-t', 'multi', '--platform', platforms, '--load', '--metadata-file', metadata];
        const { status, stderr } = await tsbuild.run(args, { env: { DOCKER_HOST: engine!.host } });
        if ((await engine!.must('info')).includes('io.containerd.snapshotter')) {
          expect(status, stderr).to.equal(0);
          expect(readFileSync(metadata, 'utf8')).to.contain(
            `"containerimage.digest": "${await idOf('multi')}"`,
          );
        } else {
          expect(status).to.equal(1);
          expect(stderr).to.contain('EXPORT_FAILED').and.contain('one platform');
        }
      });

      it('finds the engine by the context of the docker command', async () => {
        const config = tmpDir();
        const docker = findProgram('docker', ['/usr/bin'])!;
        const env = { DOCKER_CONFIG: config, DOCKER_HOST: '' };
        await mustRun(docker, ['context', 'create', 'other', '--docker', `host=${engine!.host}`], { env });
        await mustRun(docker, ['context', 'use', 'other'], { env });
        await tsbuild.must([contextOf('one\n'), '-t', 'app', '--load'], { env });
        expect(await run('app')).to.equal('one\n');
        const wrong = await tsbuild.run([contextOf('one\n'), '--load'], {
          env: { ...env, DOCKER_CONTEXT: 'none' },
        });
        expect(wrong.status).to.equal(3);
        expect(wrong.stderr).to.contain('ENGINE_UNREACHABLE').and.contain('"none"');
      });

      it('talks to an engine that asks for certificates', async function () {
        needs(this, { program: 'openssl' });
        const [certificates, port] = [await makeCertificates(), await freePort()];
        const serverFiles = ['cacert=ca.pem', 'cert=cert.pem', 'key=key.pem'].map((pair) =>
          pair.replace('=', `=${certificates}/`),
        );
        const flags = [
          '-H',
          `tcp://127.0.0.1:${port}`,
          '--tlsverify',
          ...serverFiles.map((file) => `--tls${file}`),
        ];
        const secured = await startEngine(flags);
        try {
          const env = {
            DOCKER_HOST: `tcp://localhost:${port}`,
            DOCKER_TLS_VERIFY: '1',
            DOCKER_CERT_PATH: tmpDir(),
          };
          const args = [contextOf('one\n'), '-t', 'app', '--load'];
          const refused = await tsbuild.run(args, { env });
          expect(refused.status).to.equal(3);
          expect(refused.stderr).to.contain('DOCKER_CERT_PATH');
          await tsbuild.must(args, { env: { ...env, DOCKER_CERT_PATH: certificates } });
          expect(await secured.must('run', '--rm', '--network', 'host', 'app')).to.equal('one\n');
        } finally {
          await secured.stop();
        }
      });

      it('says how to reach an engine that is not there', async () => {
        const { status, stderr } = await tsbuild.run([contextOf('one\n'), '--load'], {
          env: { DOCKER_HOST: `unix://${out}/nobody` },
        });
        expect(status).to.equal(3);
        expect(stderr).to.contain('ENGINE_UNREACHABLE').and.contain(`unix://${out}/nobody`);
      });

      it('warns where there is no engine at all, and builds', async function () {
        if (existsSync('/var/run/docker.sock')) this.skip();
        const env = { DOCKER_HOST: '', DOCKER_CONFIG: tmpDir(), XDG_RUNTIME_DIR: tmpDir() };
        const { stderr } = await tsbuild.must([contextOf('one\n'), '-t', 'no-engine', '--load'], { env });
        expect(stderr).to.contain('no Docker engine');
        expect((await tsbuild.must(['run', 'no-engine'])).stdout).to.equal('one\n');
      });

      /** Of the config, in the containerd store of the manifest. */
      const idOf = async (name: string) => (await engine!.must('inspect', '-f', '{{.Id}}', name)).trim();
    });
  });

  it('are accepted by skopeo and umoci as an OCI archive', async () => {
    const archive = join(out, 'oci.tar');
    await tsbuild.must([join(PROJECT, 'examples/hello'), '-t', 'test', '-o', `type=oci,dest=${archive}`]);
    const inspected = JSON.parse(await mustRun('skopeo', ['inspect', `oci-archive:${archive}`])) as {
      Layers: string[];
      Os: string;
    };
    expect(inspected.Layers).to.have.length(2);
    await mustRun('skopeo', ['copy', '-q', `oci-archive:${archive}`, `oci:${out}/copied:test`]);
    runAsStoreOwner('umoci', ['unpack', '--image', `${out}/copied:test`, join(out, 'bundle')]);
    expect(await mustRun('cat', [join(out, 'bundle/rootfs/hello.sh')])).to.contain('echo Hallo');
  });

  it('are accepted by skopeo and umoci as an OCI layout', async () => {
    const layout = join(out, 'layout');
    await tsbuild.must([
      join(PROJECT, 'examples/hello'),
      '-t',
      'test',
      '-o',
      `type=oci,dest=${layout},tar=false`,
    ]);
    await mustRun('skopeo', ['inspect', `oci:${layout}:latest`]);
    runAsStoreOwner('umoci', ['unpack', '--image', `${layout}:latest`, join(out, 'bundle2')]);
    expect(await mustRun('cat', [join(out, 'bundle2/rootfs/hello.sh')])).to.contain('echo Hallo');
  });

  it('come back from skopeo and buildah archives with equal layers', async () => {
    const [own] = JSON.parse((await tsbuild.must(['inspect', 'test'])).stdout) as {
      RootFS: { Layers: string[] };
    }[];
    await tsbuild.must(['save', 'test', '-o', join(out, 'save.tar')]);
    for (const format of ['docker-archive', 'oci-archive']) {
      const archive = join(out, `${format}.tar`);
      await mustRun('skopeo', [
        'copy',
        '-q',
        `docker-archive:${out}/save.tar`,
        `${format}:${archive}:again-${format}:1`,
      ]);
      await tsbuild.must(['load', '-i', archive]);
      const [again] = JSON.parse(
        (
          await tsbuild.must([
            'inspect',
            format === 'oci-archive' ? `again-${format}:1` : `again-${format}:1`,
          ])
        ).stdout,
      ) as { RootFS: { Layers: string[] } }[];
      expect(again!.RootFS.Layers).to.deep.equal(own!.RootFS.Layers);
    }
  });

  it('are written as a directory and as a tar of the file system', async () => {
    const dir = join(out, 'rootfs');
    await tsbuild.must([join(PROJECT, 'examples/hello'), '-o', dir]);
    expect(await mustRun('cat', [join(dir, 'hello.sh')])).to.contain('echo Hallo');
    const tar = join(out, 'rootfs.tar');
    await tsbuild.must([join(PROJECT, 'examples/hello'), '-o', `type=tar,dest=${tar}`]);
    const listed = await mustRun('tar', ['-tf', tar]);
    expect(listed.split('\n')).to.include('hello.sh').and.include('bin/busybox');
  });

  it('are zstd or gzip compressed where that is asked for', async () => {
    for (const compression of ['gzip', 'zstd']) {
      const archive = join(out, `${compression}.tar`);
      await tsbuild.must([
        join(PROJECT, 'examples/hello'),
        '-t',
        'test',
        '-o',
        `type=oci,dest=${archive},compression=${compression},force-compression=true`,
      ]);
      const raw = JSON.parse(await mustRun('skopeo', ['inspect', '--raw', `oci-archive:${archive}`])) as {
        layers: { mediaType: string }[];
      };
      expect(raw.layers.every((layer) => layer.mediaType.endsWith(`+${compression}`))).to.equal(true);
    }
  });
});
