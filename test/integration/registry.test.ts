import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { tmpDir } from '../kit/tmp-dir.js';

type Tsbuild = ReturnType<typeof tsbuildIn>;

/** Pushes a busybox image with a second layer, by skopeo, so that no code of ours made what is pulled. */
async function pushBase(
  registry: Registry,
  archive: string,
  name: string,
  login: readonly string[] = [],
): Promise<void> {
  await mustRun('skopeo', [
    'copy',
    '-q',
    '--dest-tls-verify=false',
    ...login,
    `docker-archive:${archive}`,
    `docker://${registry.host}/${name}`,
  ]);
}

async function largestLayer(registry: Registry, name: string): Promise<string> {
  const raw = JSON.parse(
    await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/${name}`]),
  ) as { layers: { digest: string; size: number }[] };
  const hex = raw.layers.toSorted((a, b) => b.size - a.size)[0]!.digest.slice(7);
  return join(registry.data, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
}

/** The store works when another image of the registry builds and runs. */
async function expectUsable(tsbuild: Tsbuild, registry: Registry): Promise<void> {
  await tsbuild.must([
    makeContext({ Dockerfile: `FROM ${registry.host}/good:1\nRUN echo fine > /f\nCMD ["cat", "/f"]\n` }),
    '-t',
    'usable',
  ]);
  expect((await tsbuild.must(['run', 'usable'])).stdout).to.equal('fine\n');
}

describe('base images from a registry', function () {
  this.timeout(120_000);
  let archive: string;
  let open: Registry | undefined;

  before(async function () {
    needs(
      this,
      'builder',
      { program: 'docker-registry' },
      { program: 'skopeo' },
      { program: 'htpasswd' },
      { program: 'busybox' },
      { program: 'crun' },
    );
    const tar = join(tmpDir(), 'rootfs.tar');
    execFileSync('tar', [
      '--numeric-owner',
      '--owner=0',
      '--group=0',
      '-cf',
      tar,
      '-C',
      makeBaseRootfs(),
      '.',
    ]);
    const maker = tsbuildIn(tmpDir());
    await maker.must(['import', tar, 'base']);
    archive = join(tmpDir(), 'base.tar');
    await maker.must([
      'build',
      makeContext({ Dockerfile: 'FROM base\nRUN echo second > /second\nENV FROM_REGISTRY=yes\n' }),
      '-t',
      'image:1',
      '-o',
      `type=docker,dest=${archive}`,
    ]);
    open = await startRegistry();
    await pushBase(open, archive, 'good:1');
  });

  after(() => open?.stop());

  it('are pulled, built upon and run', async () => {
    const tsbuild = tsbuildIn(tmpDir());
    const context = makeContext({
      Dockerfile: `FROM ${open!.host}/good:1\nRUN cat /second > /third; echo $FROM_REGISTRY >> /third\nCMD ["cat", "/third"]\n`,
    });
    await tsbuild.must([context, '-t', 'built']);
    expect((await tsbuild.must(['run', 'built'])).stdout).to.equal('second\nyes\n');
  });

  it('are asked for once: the next build needs no registry', async () => {
    const registry = await startRegistry();
    await pushBase(registry, archive, 'good:1');
    const tsbuild = tsbuildIn(tmpDir());
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/good:1\nRUN true\n` });
    await tsbuild.must([context]);
    await registry.stop();
    await tsbuild.must([context]);
    expect((await tsbuild.run([context, '--pull'])).status).to.equal(3);
  });

  it('need the right password where the registry asks for one', async () => {
    const login = { user: 'me', password: 'secret-word' };
    const registry = await startRegistry(login);
    try {
      await pushBase(registry, archive, 'good:1', ['--dest-creds', 'me:secret-word']);
      const config = tmpDir();
      const withAuth = (text: string) => {
        mkdirSync(config, { recursive: true });
        writeFileSync(
          join(config, 'config.json'),
          JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from(text).toString('base64') } } }),
        );
      };
      const tsbuild = tsbuildIn(tmpDir(), { DOCKER_CONFIG: config });
      const context = makeContext({ Dockerfile: `FROM ${registry.host}/good:1\nRUN true\n` });
      const none = await tsbuild.run([context]);
      expect(none.status).to.equal(3);
      expect(none.stderr).to.contain('[REGISTRY_UNAUTHORIZED').and.to.contain('docker login');
      withAuth('me:wrong-word');
      const wrong = await tsbuild.run([context]);
      expect(wrong.status).to.equal(3);
      expect(wrong.stderr).to.contain('[REGISTRY_UNAUTHORIZED').and.to.contain(join(config, 'config.json'));
      expect(wrong.stderr).not.to.contain('wrong-word');
      withAuth('me:secret-word');
      await tsbuild.must([context, '-t', 'ok']);
      await tsbuild.must(['tag', 'ok', `${registry.host}/pushed:1`]);
      await tsbuild.must(['push', `${registry.host}/pushed:1`]);
      await expectUsable(tsbuild, registry);
    } finally {
      await registry.stop();
    }
  });

  it('that do not exist end in an error that names them', async () => {
    const tsbuild = tsbuildIn(tmpDir());
    const result = await tsbuild.run([makeContext({ Dockerfile: `FROM ${open!.host}/good:nosuchtag\n` })]);
    expect(result.status).to.equal(3);
    expect(result.stderr)
      .to.contain('nosuchtag')
      .and.to.contain('[REGISTRY_NOT_FOUND')
      .and.to.match(/>>> FROM/);
    await expectUsable(tsbuild, open!);
  });

  it('of a registry that is stopped end in an error that names it', async () => {
    const registry = await startRegistry();
    await registry.stop();
    const tsbuild = tsbuildIn(tmpDir());
    const result = await tsbuild.run([makeContext({ Dockerfile: `FROM ${registry.host}/good:1\n` })]);
    expect(result.status).to.equal(3);
    expect(result.stderr).to.contain(registry.host).and.to.contain('[REGISTRY_UNREACHABLE');
    await expectUsable(tsbuild, open!);
  });

  for (const [what, damage] of [
    ['corrupted', (file: string) => writeFileSync(file, flipped(readFileSync(file)))],
    ['truncated', (file: string) => truncateSync(file, 1000)],
  ] as const) {
    it(`with a ${what} layer end in an error, and the store takes the mended image`, async () => {
      const registry = await startRegistry();
      try {
        await pushBase(registry, archive, 'bad:1');
        const layer = await largestLayer(registry, 'bad:1');
        const whole = readFileSync(layer);
        damage(layer);
        const tsbuild = tsbuildIn(tmpDir());
        const context = makeContext({ Dockerfile: `FROM ${registry.host}/bad:1\nRUN true\n` });
        const result = await tsbuild.run([context]);
        expect(result.status, result.stderr).to.equal(4);
        expect(result.stderr).to.contain('[BLOB_CORRUPT');
        await expectUsable(tsbuild, open!);
        rmSync(layer);
        writeFileSync(layer, whole);
        await tsbuild.must([context]);
      } finally {
        await registry.stop();
      }
    });
  }

  it('are resumed where a connection broke, and asked for again after 429', async () => {
    const proxy = await startBreakingProxy(open!.host);
    try {
      const tsbuild = tsbuildIn(tmpDir());
      await tsbuild.must(['pull', `${proxy.host}/good:1`]);
      expect(proxy.ranges.length).to.be.greaterThan(0);
      expect(proxy.refused).to.equal(1);
      expect((await tsbuild.must(['run', `${proxy.host}/good:1`, 'cat', '/second'])).stdout).to.equal(
        'second\n',
      );
    } finally {
      proxy.server.close();
      proxy.server.closeAllConnections();
    }
  });

  it('go back: a pushed image is pulled by others with equal layers', async () => {
    const tsbuild = tsbuildIn(tmpDir());
    const name = `${open!.host}/team/app:2`;
    await tsbuild.must([
      makeContext({ Dockerfile: `FROM ${open!.host}/good:1\nCOPY f /f\nCMD ["cat", "/f"]\n`, f: 'pushed\n' }),
      '-t',
      name,
      '--push',
    ]);
    const raw = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]);
    const { layers } = JSON.parse(raw) as { layers: { mediaType: string }[] };
    expect(layers.every((layer) => layer.mediaType.endsWith('gzip'))).to.equal(true);
    const other = tsbuildIn(tmpDir());
    await other.must(['pull', name]);
    expect((await other.must(['run', name])).stdout).to.equal('pushed\n');
  });

  it('come from a mirror of the config file', async () => {
    const config = join(tmpDir(), 'config.yaml');
    writeFileSync(config, `registries:\n  docker.io: { mirrors: ["http://${open!.host}"] }\n`);
    await pushBase(open!, archive, 'library/mirrored:1');
    const tsbuild = tsbuildIn(tmpDir(), { TSBUILD_CONFIG: config });
    await tsbuild.must([makeContext({ Dockerfile: 'FROM mirrored:1\nRUN cat /second\n' })]);
  });
});

function flipped(data: Buffer): Buffer {
  const copy = Buffer.from(data);
  const middle = Math.floor(copy.length / 2);
  copy[middle] = copy[middle]! ^ 0xff;
  return copy;
}

/** Passes requests on, breaks the first download of each large blob in the middle, and refuses one request with 429. */
async function startBreakingProxy(
  target: string,
): Promise<{ server: Server; host: string; ranges: string[]; refused: number }> {
  const [hostname, port] = target.split(':');
  const broken = new Set<string>();
  const state = { ranges: [] as string[], refused: 0 };
  const server = createServer((incoming, outgoing) => {
    if (incoming.url!.includes('/manifests/') && state.refused === 0) {
      state.refused += 1;
      outgoing.writeHead(429, { 'retry-after': '0' }).end();
      return;
    }
    if (incoming.headers.range) state.ranges.push(incoming.headers.range);
    const forwarded = request(
      {
        hostname,
        port,
        path: incoming.url,
        method: incoming.method,
        headers: { ...incoming.headers, host: target },
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        const length = Number(answer.headers['content-length'] ?? 0);
        if (incoming.url!.includes('/blobs/') && length > 100_000 && !broken.has(incoming.url!)) {
          broken.add(incoming.url!);
          let sent = 0;
          answer.on('data', (chunk: Buffer) => {
            sent += chunk.length;
            outgoing.write(chunk);
            if (sent > length / 2) outgoing.destroy();
          });
          return;
        }
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return Object.assign(state, { server, host });
}
