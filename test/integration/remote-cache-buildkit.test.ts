import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { type Engine, startEngine } from '../kit/engine.js';
import { needs } from '../kit/needs.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** What docs/adr/0008 says of both builders, with the BuildKit of Debian's docker.io. */
describe('remote caches of tsbuild and BuildKit', function () {
  this.timeout(120_000);
  let registry: Registry | undefined;
  let engine: Engine | undefined;
  let context: string;

  before(async function () {
    needs(this, 'root', { program: 'docker-registry' }, { program: 'dockerd' }, { program: 'busybox' });
    registry = await startRegistry();
    engine = await startEngine();
    const base = `${registry.host}/base:1`;
    const tar = join(tmpDir(), 'rootfs.tar');
    execFileSync('tar', ['--numeric-owner', '-cf', tar, '-C', makeBaseRootfs(), '.']);
    const maker = tsbuildIn(tmpDir());
    await maker.must(['import', tar, base]);
    await maker.must(['push', base]);
    context = makeContext({ Dockerfile: `FROM ${base}\nCOPY a /a\n`, a: 'one' });
  });

  after(async () => {
    await engine?.stop();
    await registry?.stop();
  });

  for (const [type, ...args] of [
    ['registry', '-o', 'type=cacheonly'],
    ['inline', '--push'],
  ] as const) {
    it(`lets BuildKit read a cache of type=${type}`, async () => {
      const name = `${registry!.host}/ours-${type}:1`;
      const to = type === 'registry' ? `type=registry,ref=${name},mode=max` : 'type=inline';
      await tsbuildIn(tmpDir()).must(['build', context, '-t', name, ...args, '--cache-to', to]);
      const { status, stderr } = await engine!.docker('build', '--cache-from', name, context);
      expect(stderr)
        .to.contain(`importing cache manifest from ${name}`)
        .and.not.match(/ERROR|failed/);
      expect(status).to.equal(0);
    });
  }

  it('reads an image in which BuildKit keeps its cache, and builds on', async () => {
    const name = `${registry!.host}/theirs:1`;
    await engine!.must('build', '--build-arg', 'BUILDKIT_INLINE_CACHE=1', '-t', name, context);
    await engine!.must('push', name);
    const args = ['build', context, '-o', 'type=cacheonly', '--progress', 'plain', '--cache-from', name];
    const { stderr } = await tsbuildIn(tmpDir()).must(args);
    expect(stderr).to.contain(`importing cache from registry ${name}`).and.not.contain('WARN');
  });
});
