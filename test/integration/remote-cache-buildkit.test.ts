import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type ActionsCache, startActionsCache } from '../kit/actions-cache.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { type ContextEntry, makeContext } from '../kit/context.js';
import { type Engine, newDockerRoot, startEngine, startNewEngine } from '../kit/engine.js';
import { needs } from '../kit/needs.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** The engines have no network of their own, and what a RUN may reach is in its key. */
const NO_NETWORK = ['--network', 'none'];

const CONTEXT: Readonly<Record<string, ContextEntry>> = {
  a: 'one\n',
  'b.txt': 'two\n',
  'dir/x': { text: 'x\n', mode: 0o755 },
  'dir/sub/y': 'y\n',
  link: { link: 'a' },
};

/** What the BuildKit of Docker 20.10 has the same keys for. */
const OLD_STEPS = (base: string) => `FROM ${base} AS made
RUN mkdir /o; cat /proc/sys/kernel/random/uuid > /o/uuid; chown 1000:1000 /o/uuid
FROM ${base}
ENV NAME=value
ARG OTHER=x
COPY a /a
COPY dir /dir
COPY *.txt /texts/
WORKDIR /w
RUN cat /proc/sys/kernel/random/uuid > uuid
COPY --from=made /o /o
RUN echo "$NAME $OTHER <&>" > /named
CMD ["cat", "/w/uuid", "/o/uuid"]
`;

const NEW_STEPS = (base: string) => `${OLD_STEPS(base)}
COPY --link a /linked
COPY --chown=app:app --exclude=sub dir /owned
COPY --chmod=600 link /followed
COPY --from=made /o/* /several/
COPY <<E1 <<E2 /documents/
one
E1
two
E2
RUN <<E
#!/bin/sh
echo script > /script
E
RUN --mount=from=made,target=/m --mount=source=dir,target=/c cat /m/o/uuid /c/x > /read
RUN --mount=type=cache,target=/cache --mount=type=secret,id=none echo mounted > /mounted
ADD a b.txt /added/
`;

/** Instructions by name, and whether a plain display says that they were cached; of both builders. */
function cachedSteps(output: string): Record<string, boolean> {
  const names = new Map<string, string>();
  const cached: Record<string, boolean> = {};
  for (const line of output.split('\n')) {
    const [, number = '', rest = ''] = /^#(\d+) (.*)$/.exec(line) ?? [];
    const [, name] = /^\[.*\d+\/\d+\] ((?:RUN|COPY|ADD|WORKDIR) .*)$/.exec(rest) ?? [];
    if (name) names.set(number, name);
    const known = names.get(number);
    if (known && /^(CACHED|DONE)/.test(rest)) cached[known] ??= rest === 'CACHED';
  }
  return cached;
}

function expectAllCached(output: string, text: string): void {
  const cached = cachedSteps(output);
  const steps = text.match(/^(RUN|COPY|ADD|WORKDIR) /gm)!.length;
  expect(Object.keys(cached), output).to.have.length(steps);
  expect(
    Object.entries(cached).filter(([, isCached]) => !isCached),
    output,
  ).to.deep.equal([]);
}

describe('caches of tsbuild in BuildKit, and of BuildKit in tsbuild', function () {
  this.timeout(180_000);
  let registry: Registry;
  let base: string;

  before(async function () {
    needs(this, 'root', { program: 'docker-registry' }, { program: 'dockerd' }, { program: 'busybox' });
    registry = await startRegistry();
    base = `${registry.host}/base:1`;
    const tar = join(tmpDir(), 'rootfs.tar');
    const owned = ['--numeric-owner', '--owner=0', '--group=0'];
    execFileSync('tar', [...owned, '-cf', tar, '-C', makeBaseRootfs(), '.']);
    const maker = tsbuildIn(tmpDir());
    await maker.must(['import', tar, base]);
    await maker.must(['push', base]);
  });

  after(() => registry?.stop());

  /** What the image prints: what its steps wrote, which another run would write differently. */
  const printed = async (name: string) => {
    const machine = tsbuildIn(tmpDir());
    await machine.must(['pull', name]);
    return (await machine.must(['run', name])).stdout;
  };

  describe('Docker of this machine', () => {
    let engine: Engine | undefined;
    let context: string;
    const text = () => OLD_STEPS(base);

    before(async () => {
      engine = await startEngine();
      context = makeContext({ ...CONTEXT, Dockerfile: text() });
    });

    after(() => engine?.stop());

    it('finds every step in an image of tsbuild with a cache inside', async () => {
      const name = `${registry.host}/ours-inline:1`;
      const again = `${registry.host}/ours-inline:2`;
      const flags = ['-t', name, '--push', '--cache-to', 'type=inline', ...NO_NETWORK];
      await tsbuildIn(tmpDir()).must(['build', context, ...flags]);
      await engine!.must('pull', name);
      const built = await engine!.docker('build', '--cache-from', name, '-t', again, ...NO_NETWORK, context);
      const cached = cachedSteps(built.stderr);
      // The other stage's layers are in no image.
      delete cached['RUN mkdir /o; cat /proc/sys/kernel/random/uuid > /o/uuid; chown 1000:1000 /o/uuid'];
      expect(Object.values(cached), built.stderr).to.deep.equal([true, true, true, true, true, true, true]);
      await engine!.must('push', again);
      expect(await printed(again)).to.equal(await printed(name));
    });

    it('finds every step in a cache of tsbuild in a registry', async () => {
      const cache = `${registry.host}/ours-registry:1`;
      const to = `type=registry,ref=${cache},mode=max,image-manifest=false`;
      await tsbuildIn(tmpDir()).must([
        ...['build', context, '-o', 'type=cacheonly', '--cache-to', to],
        ...NO_NETWORK,
      ]);
      await engine!.must('builder', 'prune', '-af');
      const built = await engine!.docker('build', '--cache-from', cache, ...NO_NETWORK, context);
      expectAllCached(built.stderr, text());
    });

    it('gives tsbuild every step of the image in which it keeps its cache', async () => {
      const name = `${registry.host}/theirs:1`;
      const again = `${registry.host}/theirs:2`;
      const flags = ['--build-arg', 'BUILDKIT_INLINE_CACHE=1', ...NO_NETWORK];
      await engine!.must('build', ...flags, '-t', name, context);
      await engine!.must('push', name);
      const args = ['build', context, '-t', again, '--push', '--progress', 'plain', '--cache-from', name];
      const { stderr } = await tsbuildIn(tmpDir()).must([...args, ...NO_NETWORK]);
      expectAllCached(stderr, text());
      expect(await printed(again)).to.equal(await printed(name));
    });

    it('gives no step whose file is another one, and none above it', async () => {
      const name = `${registry.host}/theirs:1`;
      const changed = makeContext({ ...CONTEXT, Dockerfile: text(), 'b.txt': 'changed\n' });
      const args = ['build', changed, '-o', 'type=cacheonly', '--progress', 'plain', '--cache-from', name];
      const { stderr } = await tsbuildIn(tmpDir()).must([...args, ...NO_NETWORK]);
      const cached = Object.entries(cachedSteps(stderr)).filter(([, isCached]) => isCached);
      expect(cached.map(([step]) => step)).to.have.members(['COPY a /a', 'COPY dir /dir']);
    });
  });

  describe('Docker 28 or newer', () => {
    let engine: Engine | undefined;
    let actions: ActionsCache | undefined;
    let context: string;
    const text = () => NEW_STEPS(base);

    before(async function () {
      const root = newDockerRoot();
      // TSBUILD_DOCKER_ROOT names a root directory with docker.io, docker-cli and docker-buildx of Debian sid in it.
      if (root === undefined) return this.skip();
      engine = await startNewEngine(root);
      actions = await startActionsCache();
      context = makeContext({ ...CONTEXT, Dockerfile: text() });
    });

    after(async () => {
      await engine?.stop();
      await actions?.stop();
    });

    const buildx = (...args: string[]) => engine!.docker('buildx', 'build', ...NO_NETWORK, ...args);

    /** The same place in the words of both: of buildx to and from, of tsbuild. */
    const placeFor = (type: 'registry' | 'local' | 'gha', name: string) => {
      if (type === 'registry') return { place: `type=registry,ref=${name}-cache` };
      if (type === 'local') return { place: `type=local,dest=${join(tmpDir(), 'cache')}` };
      const { url, token } = actions!;
      const place = `type=gha,url=${url},token=${token},scope=${name.split('/')[1]!.replace(':', '-')}`;
      return { place, version: ',version=1' };
    };
    const source = (place: string) => place.replace(',dest=', ',src=');

    for (const mode of ['max', 'min'])
      for (const type of ['registry', 'local', 'gha'] as const) {
        it(`finds every step in a cache of tsbuild, type=${type}, mode=${mode}`, async () => {
          const name = `${registry.host}/ours-${type}-${mode}:1`;
          const { place, version = '' } = placeFor(type, name);
          const flags = ['-t', name, '--push', '--cache-to', `${place},mode=${mode}`, ...NO_NETWORK];
          await tsbuildIn(tmpDir()).must(['build', context, ...flags]);
          await engine!.must('buildx', 'prune', '-af');
          const again = `${name}-again`;
          const built = await buildx(
            ...['-t', again, '--push', '--cache-from', `${source(place)}${version}`, context],
          );
          expectAllCached(built.stderr, text());
          expect(await printed(again)).to.equal(await printed(name));
        });

        it(`gives tsbuild every step, type=${type}, mode=${mode}`, async () => {
          const name = `${registry.host}/theirs-${type}-${mode}:1`;
          const { place, version = '' } = placeFor(type, name);
          const to = `${place}${version},mode=${mode}`;
          await engine!.must('buildx', 'prune', '-af');
          const built = await buildx('-t', name, '--push', '--provenance=false', '--cache-to', to, context);
          expect(built.status, built.stderr).to.equal(0);
          const again = `${name}-again`;
          const args = ['build', context, '-t', again, '--push', '--progress', 'plain'];
          const flags = ['--cache-from', source(place), ...NO_NETWORK];
          const { stderr } = await tsbuildIn(tmpDir()).must([...args, ...flags]);
          expectAllCached(stderr, text());
          expect(await printed(again)).to.equal(await printed(name));
        });
      }

    it('finds the steps of stages by what they wrote, where what made it is another RUN', async () => {
      const dir = join(tmpDir(), 'cache');
      const stages = (made: string) => `FROM ${base} AS made
RUN ${made}
FROM ${base}
COPY --from=made /o /o
RUN cat /proc/sys/kernel/random/uuid > /uuid
`;
      const first = makeContext({ Dockerfile: stages('mkdir /o; echo same > /o/f') });
      const other = makeContext({ Dockerfile: stages('mkdir /o && echo same > /o/f') });
      await tsbuildIn(tmpDir()).must([
        ...['build', first, '-o', 'type=cacheonly', '--cache-to', `type=local,dest=${dir},mode=max`],
        ...NO_NETWORK,
      ]);
      await engine!.must('buildx', 'prune', '-af');
      const there = await buildx('-o', 'type=cacheonly', '--cache-from', `type=local,src=${dir}`, other);
      const theirs = join(tmpDir(), 'cache');
      await engine!.must('buildx', 'prune', '-af');
      await buildx('--cache-to', `type=local,dest=${theirs},mode=max`, first);
      const args = ['build', other, '-o', 'type=cacheonly', '--progress', 'plain'];
      const here = await tsbuildIn(tmpDir()).must([
        ...[...args, '--cache-from', `type=local,src=${theirs}`],
        ...NO_NETWORK,
      ]);
      for (const { stderr } of [there, here])
        expect(Object.values(cachedSteps(stderr)), stderr).to.deep.equal([false, true, true]);
    });
  });
});
