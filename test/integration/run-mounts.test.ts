import { expect } from 'chai';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('RUN --mount', function () {
  this.timeout(60_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });

  /** Builds, and gives what the file /out of the image says. */
  async function outputOf(context: string, ...options: string[]): Promise<string> {
    await tsbuild.must([context, '-t', 'mounts', ...options]);
    return (await tsbuild.must(['run', 'mounts', 'cat', '/out'])).stdout;
  }

  it('binds the context, without what .dockerignore leaves out, and throws writes away', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM base\nRUN --mount=type=bind,target=/ctx,rw cd /ctx && ls > /out && cat dir/f >> /out && touch new\nRUN --mount=target=/one,source=dir/f cat /one >> /out\nRUN ls -d /ctx /one /ctx/new >> /out 2>/dev/null || echo gone >> /out\n',
      '.dockerignore': 'hidden\nDockerfile\n.dockerignore\n',
      hidden: 'no\n',
      'dir/f': 'f\n',
    });
    expect(await outputOf(context)).to.equal('dir\nf\nf\ngone\n');
  });

  for (const executor of ['crun', 'runc', 'sandbox'] as const) {
    it(`follows links of a target inside of the image only, with ${executor}`, async function () {
      needs(this, { program: executor === 'sandbox' ? 'unshare' : executor });
      const host = tmpDir();
      const links = [host, `../../../../../..${host}`];
      const steps = links.flatMap((link, i) => [
        `RUN ln -s ${link} /l${executor}${i}`,
        ...['type=cache,target', 'type=tmpfs,target', 'type=bind,rw,target'].map(
          (mount, n) =>
            `RUN --mount=${mount}=/l${executor}${i}/m${n} touch /l${executor}${i}/m${n}/x && ls -R ${host} >> /out`,
        ),
      ]);
      const context = makeContext({ Dockerfile: `FROM base\n${steps.join('\n')}\n` });
      await tsbuild.must([context, '-t', 'mounts'], { env: { TSBUILD_EXECUTOR: executor } });
      const { stdout } = await tsbuild.must(['run', 'mounts', 'cat', '/out']);
      // Each mount is there, in the image’s own directory of that name.
      expect(stdout.match(/^m[012]$/gm)).to.have.length.at.least(6);
      expect(readdirSync(host)).to.deep.equal([]);
    });
  }

  it('binds a path of a stage and runs again only when that changes', async () => {
    const dockerfile = (used: string, unused: string) =>
      `FROM base AS src\nRUN mkdir /s && echo ${used} > /s/used && echo ${unused} > /unused\nFROM base\nRUN --mount=from=src,source=/s,target=/mnt cat /mnt/used > /out; date +%N >> /out\n`;
    const context = makeContext({ Dockerfile: dockerfile('a', '1') });
    const first = await outputOf(context);
    writeFileSync(join(context, 'Dockerfile'), dockerfile('a', '2'));
    expect(await outputOf(context)).to.equal(first);
    writeFileSync(join(context, 'Dockerfile'), dockerfile('b', '2'));
    expect(await outputOf(context)).to.match(/^b\n/);
  });

  it('keeps a cache directory from build to build and out of the image', async () => {
    const context = makeContext({ Dockerfile: '' });
    const run = async (step: string) => {
      writeFileSync(
        join(context, 'Dockerfile'),
        `FROM base\nRUN --mount=type=cache,target=/cache,id=kept echo ${step} >> /cache/log; cat /cache/log > /out; ls -ld /cache\nRUN ls -A /cache >> /out 2>/dev/null || echo gone >> /out\n`,
      );
      return outputOf(context);
    };
    expect(await run('one')).to.equal('one\ngone\n');
    expect(await run('two')).to.equal('one\ntwo\ngone\n');
  });

  it('starts a cache from a stage, with mode and owner of a new one', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM base AS seed\nRUN mkdir /d && echo seed > /d/f && chown 7:8 /d/f\nFROM base\nRUN --mount=type=cache,target=/c,from=seed,source=/d stat -c "%u:%g" /c/f > /out; cat /c/f >> /out\nRUN --mount=type=cache,target=/o,mode=0700,uid=5,gid=6 stat -c "%a %u:%g" /o >> /out\n',
    });
    expect(await outputOf(context)).to.equal('7:8\nseed\n700 5:6\n');
  });

  it('lets one build at a time into a locked cache, and several into private ones', async () => {
    const build = (sharing: string, name: string) =>
      tsbuild.must([
        makeContext({
          Dockerfile: `FROM base\nRUN --mount=type=cache,target=/c,id=${sharing},sharing=${sharing} test ! -e /c/busy && touch /c/busy && sleep 0.4 && rm /c/busy && echo ${name}\n`,
        }),
      ]);
    await Promise.all(['a', 'b', 'c'].map((name) => build('locked', name)));
    await Promise.all(['a', 'b', 'c'].map((name) => build('private', name)));
  });

  it('gives a tmpfs of its own', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM base\nRUN --mount=type=tmpfs,target=/t,size=8m grep " /t tmpfs" /proc/mounts > /out; touch /t/x\nRUN ls -A /t >> /out 2>/dev/null || true\n',
    });
    expect(await outputOf(context)).to.match(/^tmpfs \/t tmpfs .*size=8192k.*\n$/);
  });

  describe('of a secret', () => {
    const dockerfile =
      'FROM base\nRUN --mount=type=secret,id=token --mount=type=secret,id=token,env=TOKEN,target=/other,mode=0440,uid=1000 \\\n  stat -c "%a %u" /run/secrets/token /other > /out; test "$(cat /run/secrets/token)" = "$TOKEN" && echo equal >> /out\n';

    it('shows it as a file and as a variable, and leaves it in no file of the store', async () => {
      const context = makeContext({ Dockerfile: dockerfile });
      const file = join(tmpDir(), 'token');
      writeFileSync(file, 'tok-7f3a9c-secret-value');
      expect(await outputOf(context, '--secret', `id=token,src=${file}`)).to.equal(
        '400 0\n440 1000\nequal\n',
      );
      const found = await mustRun('sh', ['-c', `grep -rl tok-7f3a9c-secret-value ${root} || true`]);
      expect(found).to.equal('');
    });

    it('is not part of the key', async () => {
      const context = makeContext({
        Dockerfile: 'FROM base\nRUN --mount=type=secret,id=t,env=T date +%N > /out\n',
      });
      const first = await outputOf(context, '--secret', 'id=t,env=HOME');
      expect(await outputOf(context, '--secret', 'id=t,env=PATH')).to.equal(first);
    });

    it('that is required and missing ends in an error; one that is not required is just not there', async () => {
      const context = makeContext({
        Dockerfile:
          'FROM base\nRUN --mount=type=secret,id=none test ! -e /run/secrets/none\nRUN --mount=type=secret,id=must,required true\n',
      });
      const result = await tsbuild.run([context]);
      expect(result.status).to.equal(1);
      expect(result.stderr).to.contain('secret "must" is required').and.to.contain('[SECRET_MISSING');
    });
  });

  it('without a target is at the working directory', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM base\nWORKDIR /w\nRUN --mount=type=tmpfs touch /w/x && mount | grep -c " /w " > /out\n',
    });
    expect(await outputOf(context)).to.equal('1\n');
  });

  for (const [what, mount, code] of [
    ['an unknown type', 'type=tmpf,target=/x', 'did you mean "tmpfs"'],
    ['an unknown key', 'type=cache,targt=/x', 'did you mean "target"'],
    ['the root as its target', 'type=cache,target=/', 'mount below the root'],
    ['an unknown sharing', 'type=cache,target=/x,sharing=all', 'use shared, locked or private'],
  ] as const) {
    it(`with ${what} is refused`, async () => {
      const result = await tsbuild.run([
        makeContext({ Dockerfile: `FROM base\nRUN --mount=${mount} true\n` }),
      ]);
      expect(result.status).to.equal(2);
      expect(result.stderr).to.contain(code).and.to.contain('>>>');
    });
  }
});
