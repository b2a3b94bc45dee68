import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ActionsCache, startActionsCache } from '../kit/actions-cache.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { type RecordingProxy, startRecordingProxy } from '../kit/recording-proxy.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { s3Attributes, type S3Server, startS3Server } from '../kit/s3-server.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** What a step wrote says when it ran: equal output, and it did not run again. */
const dockerfile = (base: string) => `FROM ${base} AS builder
COPY input /input
RUN cat /input > /result; cat /proc/sys/kernel/random/uuid >> /result
RUN head -c 300000 /dev/urandom > /large
FROM ${base}
COPY --from=builder /result /result
RUN cat /proc/sys/kernel/random/uuid > /stamp
CMD ["cat", "/result", "/stamp"]
`;

/** A machine: a store of its own. */
interface Machine extends ReturnType<typeof tsbuildIn> {
  readonly root: string;
}

function newMachine(): Machine {
  const root = tmpDir();
  return { root, ...tsbuildIn(root) };
}

/** RUN and COPY by name -> whether the plain display says that they were cached. */
function cachedSteps(output: string): Record<string, boolean> {
  const names = new Map<string, string>();
  const cached: Record<string, boolean> = {};
  for (const line of output.split('\n')) {
    const [, number = '', rest = ''] = /^#(\d+) (.*)$/.exec(line) ?? [];
    if (/^\[\S+ \d+\/\d+\] (RUN|COPY) /.test(rest)) names.set(number, rest);
    const name = names.get(number);
    if (name && (rest === 'CACHED' || rest.startsWith('DONE'))) cached[name] = rest === 'CACHED';
  }
  return cached;
}

function expectAllCached(output: string, steps: number): void {
  const cached = cachedSteps(output);
  expect(Object.values(cached), output).to.have.length(steps);
  expect(Object.values(cached), output).to.not.include(false);
}

/** Sizes of the blobs in a machine's store. */
function blobs({ root }: Machine): string[] {
  const dir = join(root, 'content/blobs/sha256');
  return existsSync(dir) ? readdirSync(dir) : [];
}

describe('remote caches', function () {
  this.timeout(120_000);
  let registry: Registry | undefined;
  let proxy: RecordingProxy | undefined;
  let s3: S3Server | undefined;
  let actions: ActionsCache | undefined;
  let base: string;
  let context: string;

  before(async function () {
    needs(this, 'builder', { program: 'docker-registry' }, { program: 'busybox' }, { program: 'crun' });
    registry = await startRegistry();
    proxy = await startRecordingProxy(registry.host);
    s3 = await startS3Server();
    actions = await startActionsCache();
    base = `${registry.host}/base:1`;
    const tar = join(tmpDir(), 'rootfs.tar');
    const owned = ['--numeric-owner', '--owner=0', '--group=0'];
    execFileSync('tar', [...owned, '-cf', tar, '-C', makeBaseRootfs(), '.']);
    const maker = newMachine();
    await maker.must(['import', tar, base]);
    await maker.must(['push', base]);
    context = makeContext({ Dockerfile: dockerfile(base), input: 'first\n' });
  });

  after(async () => {
    await proxy?.stop();
    await registry?.stop();
    await s3?.stop();
    await actions?.stop();
  });

  const build = (...args: string[]) => ['build', context, '--progress', 'plain', ...args];
  const cacheOnly = (...args: string[]) => build('-o', 'type=cacheonly', ...args);

  for (const place of ['registry', 'local', 's3', 'gha'] as const) {
    describe(`type=${place}`, () => {
      let to: string;
      let from: string;
      let one: Machine;
      let output: string;

      before(async () => {
        const dir = join(tmpDir(), 'cache');
        const bucket = Object.entries(s3Attributes(s3!.host)).map(([key, value]) => `${key}=${value}`);
        from = {
          registry: `type=registry,ref=${proxy!.host}/${place}:cache`,
          local: `type=local,src=${dir}`,
          s3: ['type=s3', 'name=app', ...bucket].join(','),
          gha: `type=gha,url_v2=${actions!.url},token=${actions!.token},scope=app`,
        }[place];
        to = from.replace(',src=', ',dest=');
        one = newMachine();
        await one.must(build('-t', 'app', '--cache-to', `${to},mode=max`));
        output = (await one.must(['run', 'app'])).stdout;
      });

      it('gives another machine every step, and runs none', async () => {
        const other = newMachine();
        const { stderr } = await other.must(build('-t', 'app', '--cache-from', from));
        expectAllCached(stderr, 5);
        expect(stderr).to.match(/imported from (registry|directory|s3:|GitHub Actions)/);
        expect(stderr).to.not.match(/S3RVER|hush/);
        expect((await other.must(['run', 'app'])).stdout).to.equal(output);
      });

      it('makes the same image of imported steps as of own ones', async () => {
        const other = newMachine();
        await other.must(build('-t', 'app', '--cache-from', from));
        const manifestOf = async (machine: Machine) => (await machine.must(['images'])).stdout;
        const digests = async (machine: Machine) =>
          /sha256:\w+|\b[0-9a-f]{12}\b/.exec(await manifestOf(machine))?.[0];
        expect(await digests(other))
          .to.equal(await digests(one))
          .and.not.equal(undefined);
      });

      it('runs what changed and what follows from it, on top of what was imported', async () => {
        const changed = makeContext({ Dockerfile: dockerfile(base), input: 'second\n' });
        const other = newMachine();
        const args = ['build', changed, '-t', 'app', '--progress', 'plain', '--cache-from', from];
        const cached = cachedSteps((await other.must(args)).stderr);
        expect(Object.values(cached)).to.deep.equal([false, false, false, false, false]);
        expect((await other.must(['run', 'app'])).stdout).to.match(/^second\n/);
      });

      it('reads no layer when nothing needs its bytes', async () => {
        const other = newMachine();
        expectAllCached((await other.must(cacheOnly('--cache-from', from))).stderr, 5);
        // The base image's manifest and config.
        expect(blobs(other)).to.have.length(2);
      });

      it('reads only the layers of the stage that is asked for', async () => {
        const other = newMachine();
        await other.must(build('-t', 'app', '--cache-from', from));
        const large = (await other.must(build('-t', 'builder', '--target', 'builder', '--cache-from', from)))
          .stderr;
        expect(large).to.match(/downloading sha256:\w+ 30\d(\.\d+)?kB/i);
        expectAllCached(large, 3);
      });

      it('exports again from a machine that imported everything, and sends nothing', async () => {
        const other = newMachine();
        const { stderr } = await other.must(cacheOnly('--cache-from', from, '--cache-to', `${to},mode=max`));
        expect(stderr).to.contain('5 steps; nothing new to send');
      });
    });
  }

  it('asks for one manifest and one config, and nothing of a cache where the store has all', async () => {
    const ref = `type=registry,ref=${proxy!.host}/asked:cache`;
    const one = newMachine();
    await one.must(cacheOnly('--cache-to', `${ref},mode=max`));
    const other = newMachine();
    proxy!.requests.length = 0;
    await other.must(cacheOnly('--cache-from', ref));
    expect(proxy!.requests).to.have.length(2);
    expect(proxy!.requests[0]).to.equal('GET /v2/asked/manifests/cache 200');
    proxy!.requests.length = 0;
    await other.must(cacheOnly('--cache-from', ref));
    expect(proxy!.requests).to.deep.equal([]);
  });

  it('sends no blob and no manifest when nothing changed, and only what is new when something did', async () => {
    const ref = `type=registry,ref=${proxy!.host}/again:cache,mode=max`;
    const one = newMachine();
    await one.must(cacheOnly('--cache-to', ref));
    proxy!.requests.length = 0;
    await one.must(cacheOnly('--cache-to', ref));
    expect(proxy!.requests).to.deep.equal(['GET /v2/again/manifests/cache 200']);

    const more = makeContext({ Dockerfile: `${dockerfile(base)}RUN echo more > /more\n`, input: 'first\n' });
    proxy!.requests.length = 0;
    await one.must(['build', more, '-o', 'type=cacheonly', '--cache-to', ref]);
    const sent = proxy!.requests.filter((line) => line.startsWith('PUT') && !line.includes('/manifests/'));
    // One layer and the config.
    expect(sent).to.have.length(2);
  });

  it('pushes an imported image without reading a layer of it', async () => {
    const ref = `type=registry,ref=${proxy!.host}/pushed:cache`;
    await newMachine().must(cacheOnly('--cache-to', `${ref},mode=max`));
    const other = newMachine();
    proxy!.requests.length = 0;
    await other.must(build('-t', `${proxy!.host}/elsewhere:1`, '--push', '--cache-from', ref));
    const read = proxy!.requests.filter((line) => /^GET .*\/blobs\//.test(line));
    // The cache's config.
    expect(read).to.have.length(1);
    expect(proxy!.requests.filter((line) => /POST .*mount=.* 201$/.test(line))).to.not.be.empty;
    const pulled = newMachine();
    await pulled.must(['pull', `${proxy!.host}/elsewhere:1`]);
    expect((await pulled.must(['run', `${proxy!.host}/elsewhere:1`])).stdout).to.match(/^first\n/);
  });

  describe('while a later step runs', () => {
    const waiting = (end: string) =>
      makeContext({
        Dockerfile: `FROM ${base}\nRUN head -c 100000 /dev/urandom > /early\nRUN sleep 4; ${end}\n`,
      });
    /** Runs a build; gives the blobs that lay in the cache before the build had an end. */
    const blobsMeanwhile = async (end: string, mode: string) => {
      const dest = join(tmpDir(), 'cache');
      const found = new Set<string>();
      const started = performance.now();
      const look = setInterval(() => {
        // The step alone takes four seconds, so that no export has begun before.
        if (performance.now() - started > 3500 && mode === 'min') clearInterval(look);
        else if (existsSync(join(dest, 'index.json'))) clearInterval(look);
        else if (existsSync(join(dest, 'blobs/sha256')))
          for (const name of readdirSync(join(dest, 'blobs/sha256'))) found.add(name);
      }, 20);
      const args = [waiting(end), '-o', 'type=cacheonly', '--progress', 'plain'];
      const result = await newMachine().run([
        'build',
        ...args,
        '--cache-to',
        `type=local,dest=${dest},mode=${mode}`,
      ]);
      clearInterval(look);
      return { ...result, dest, found: [...found].filter((name) => /^[0-9a-f]{64}$/.test(name)) };
    };

    it('sends the layers that are there already with mode=max', async () => {
      const { status, stderr, found, dest } = await blobsMeanwhile('true', 'max');
      expect(status, stderr).to.equal(0);
      expect(found).to.have.length.of.at.least(1);
      const sent = Number(/(\d+) blobs sent/.exec(stderr)?.[1]);
      expect(sent, 'early ones are counted').to.equal(readdirSync(join(dest, 'blobs/sha256')).length - 1);
    });

    it('sends nothing before its end with mode=min, which may not want it', async () => {
      expect((await blobsMeanwhile('true', 'min')).found).to.deep.equal([]);
    });

    it('leaves whole blobs and nothing else when the step fails', async () => {
      const { status, dest } = await blobsMeanwhile('exit 3', 'max');
      expect(status).to.equal(1);
      expect(existsSync(join(dest, 'index.json'))).to.equal(false);
      for (const name of readdirSync(join(dest, 'blobs/sha256'))) expect(name).to.match(/^[0-9a-f]{64}$/);
    });
  });

  it('keeps with mode=min only what the image holds', async () => {
    const ref = `type=registry,ref=${proxy!.host}/min:cache`;
    const one = newMachine();
    expect((await one.must(cacheOnly('--cache-to', ref))).stderr).to.contain('2 steps; ');
    expectAllCached((await newMachine().must(cacheOnly('--cache-from', ref))).stderr, 5);
  });

  it('takes a name alone for a registry, in both directions', async () => {
    const name = `${proxy!.host}/short:cache`;
    await newMachine().must(cacheOnly('--cache-to', name));
    expectAllCached((await newMachine().must(cacheOnly('--cache-from', name))).stderr, 5);
  });

  it('finds by content what another base image would hide, on another machine too', async () => {
    const rebased = `${registry!.host}/base:2`;
    const maker = newMachine();
    const labeled = makeContext({ Dockerfile: `FROM ${base}\nLABEL version=2\n` });
    await maker.must(['build', labeled, '-t', rebased, '--push']);
    const ref = `type=registry,ref=${proxy!.host}/rebased:cache`;
    await newMachine().must(cacheOnly('--cache-to', `${ref},mode=max`));
    const other = makeContext({ Dockerfile: dockerfile(rebased), input: 'first\n' });
    const args = ['build', other, '-o', 'type=cacheonly', '--progress', 'plain', '--cache-from', ref];
    expectAllCached((await newMachine().must(args)).stderr, 5);
  });

  for (const [form, mediaType, attributes] of [
    ['image manifest', 'vnd.oci.image.manifest.v1+json', ''],
    ['index', 'vnd.oci.image.index.v1+json', ',image-manifest=false'],
    ['list', 'vnd.docker.distribution.manifest.list.v2+json', ',oci-mediatypes=false'],
  ] as const) {
    it(`writes and reads a cache as an ${form}`, async () => {
      const ref = `${proxy!.host}/form-${form.replace(' ', '-')}:cache`;
      await newMachine().must(cacheOnly('--cache-to', `type=registry,ref=${ref}${attributes},mode=max`));
      const raw = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${ref}`]);
      const manifest = JSON.parse(raw) as { mediaType: string; config?: unknown; manifests?: unknown[] };
      expect(manifest.mediaType).to.equal(`application/${mediaType}`);
      expect(raw).to.contain('application/vnd.buildkit.cacheconfig.v0');
      expectAllCached((await newMachine().must(cacheOnly('--cache-from', ref))).stderr, 5);
    });
  }

  it('compresses layers as it is told', async () => {
    const ref = `${proxy!.host}/zstd:cache`;
    const one = newMachine();
    await one.must(
      cacheOnly('--cache-to', `type=registry,ref=${ref},mode=max,compression=zstd,base-layers=false`),
    );
    const raw = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${ref}`]);
    expect(raw).to.contain('application/vnd.oci.image.layer.v1.tar+zstd');
    expect(raw).to.not.contain('tar+gzip');
    const other = newMachine();
    await other.must(build('-t', 'app', '--cache-from', ref));
    expect((await other.must(['run', 'app'])).stdout).to.match(/^first\n/);
  });

  it('drops from a directory what no tag reaches any more', async () => {
    const dir = join(tmpDir(), 'cache');
    const blobDir = join(dir, 'blobs/sha256');
    const one = newMachine();
    await one.must(cacheOnly('--cache-to', `type=local,dest=${dir},mode=max,base-layers=false`));
    const before = readdirSync(blobDir);
    for (const name of before) utimesSync(join(blobDir, name), 1, 1);
    const changed = makeContext({ Dockerfile: `FROM ${base}\nRUN echo other > /other\n` });
    await one.must([
      'build',
      changed,
      '-o',
      'type=cacheonly',
      '--cache-to',
      `type=local,dest=${dir},mode=max,base-layers=false`,
    ]);
    const after = readdirSync(blobDir);
    expect(after.filter((name) => before.includes(name))).to.deep.equal([]);
    expect(after).to.have.length(3);
  });

  for (const [how, ...args] of [
    ['--cache-to type=inline', '--cache-to', 'type=inline'],
    ['BUILDKIT_INLINE_CACHE', '--build-arg', 'BUILDKIT_INLINE_CACHE=1'],
  ] as const) {
    it(`keeps a cache inside of the image with ${how}`, async () => {
      const name = `${proxy!.host}/inline-${args.length}${how.length}:1`;
      await newMachine().must(build('-t', name, '--push', ...args));
      const config = await mustRun('skopeo', [
        'inspect',
        '--config',
        '--raw',
        '--tls-verify=false',
        `docker://${name}`,
      ]);
      const { 'moby.buildkit.cache.v0': records } = JSON.parse(config) as Record<string, string>;
      const parsed = JSON.parse(Buffer.from(records!, 'base64').toString('utf8')) as { digest: string }[];
      expect(parsed.map((record) => record.digest)).to.have.length.greaterThan(2);
      expectAllCached((await newMachine().must(cacheOnly('--cache-from', name, ...args.slice(2)))).stderr, 5);
    });
  }

  it('reads the caches inside of an image of several platforms', async () => {
    const name = `${proxy!.host}/platforms:1`;
    const copied = makeContext({ Dockerfile: 'FROM scratch\nCOPY a /a\nCOPY b /b\n', a: '1', b: '2' });
    const args = ['build', copied, '--platform', 'linux/amd64,linux/arm64', '--progress', 'plain'];
    await newMachine().must([...args, '-t', name, '--push', '--cache-to', 'type=inline']);
    const { stderr } = await newMachine().must([...args, '-o', 'type=cacheonly', '--cache-from', name]);
    expect(stderr).to.match(/COPY b \/b[^]*imported from/);
    expect(stderr).to.not.match(/\] COPY [^\n]*\n#\d+ DONE/);
  });

  describe('when a cache fails', () => {
    it('builds without one that cannot be reached, and says so', async () => {
      const dead = await startRecordingProxy(registry!.host);
      await dead.stop();
      const { stderr } = await newMachine().must(
        cacheOnly('--cache-from', `${dead.host}/x:cache`, '--cache-to', `${dead.host}/x:cache`),
      );
      expect(stderr).to.contain(`the cache of registry ${dead.host}/x:cache cannot be used`);
      expect(stderr).to.contain(`the cache was not exported to registry ${dead.host}/x:cache`);
      expect(Object.values(cachedSteps(stderr))).to.not.include(true);
    });

    it('fails with ignore-error=false', async () => {
      const dead = await startRecordingProxy(registry!.host);
      await dead.stop();
      const target = `type=registry,ref=${dead.host}/x:cache,ignore-error=false`;
      const result = await newMachine().run(cacheOnly('--cache-to', target));
      expect(result.status).to.equal(3);
      expect(result.stderr).to.contain('REGISTRY_UNREACHABLE');
    });

    it('goes on without a name that is not there', async () => {
      const { stderr } = await newMachine().must(cacheOnly('--cache-from', `${proxy!.host}/nothing:cache`));
      expect(stderr).to.contain('there is no cache yet').and.not.contain('WARN');
    });

    it('finds nothing in an image without a cache', async () => {
      const { stderr } = await newMachine().must(cacheOnly('--cache-from', base));
      expect(stderr).to.match(/importing cache from registry .*\n#\d+ 0 steps/);
    });

    it('names the bucket, and no key, when S3 refuses the credentials', async () => {
      const attributes = { ...s3Attributes(s3!.host), access_key_id: 'OTHER', secret_access_key: 'hush' };
      const spec = Object.entries(attributes).map(([key, value]) => `${key}=${value}`);
      const { stderr } = await newMachine().must(cacheOnly('--cache-to', ['type=s3', ...spec].join(',')));
      expect(stderr)
        .to.contain('was not exported to s3://cache/: s3://cache/ answered 403')
        .and.not.contain('hush');
    });

    it('says that a token of GitHub Actions may only read', async () => {
      const reading = await startActionsCache(1);
      try {
        const { stderr } = await newMachine().must(cacheOnly('--cache-to', 'type=gha'), {
          env: { ACTIONS_RESULTS_URL: reading.url, ACTIONS_RUNTIME_TOKEN: reading.token },
        });
        expect(stderr).to.contain("this job's token may not write to it").and.not.contain('hush');
      } finally {
        await reading.stop();
      }
    });

    it('runs a step whose imported layer is gone', async () => {
      const ref = `${proxy!.host}/gone:cache`;
      await newMachine().must(cacheOnly('--cache-to', `type=registry,ref=${ref},mode=max`));
      const other = newMachine();
      const manifest = 'GET /v2/gone/blobs/';
      let asked = 0;
      proxy!.refuse = (method, path) =>
        `${method} ${path}`.startsWith(manifest) && ++asked > 1 ? 404 : undefined;
      try {
        const { stderr } = await other.must(build('-t', 'app', '--cache-from', ref));
        expect(stderr).to.contain('a layer of the cache cannot be had, so the build goes on without it');
      } finally {
        proxy!.refuse = () => undefined;
      }
      expect((await other.must(['run', 'app'])).stdout).to.match(/^first\n/);
    });

    it('goes on without a directory whose files are damaged', async () => {
      const dir = join(tmpDir(), 'cache');
      await newMachine().must(cacheOnly('--cache-to', `type=local,dest=${dir},mode=max`));
      const blobDir = join(dir, 'blobs/sha256');
      for (const name of readdirSync(blobDir)) writeFileSync(join(blobDir, name), '{}');
      const { stderr } = await newMachine().must(cacheOnly('--cache-from', `type=local,src=${dir}`));
      expect(stderr).to.contain(`the cache of directory ${dir} cannot be used`);
    });
  });
});
