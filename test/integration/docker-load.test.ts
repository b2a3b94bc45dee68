import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, PROJECT, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { type Engine, startEngine } from '../kit/engine.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Gives the store an image "alpine" of busybox. */
async function importBase(tsbuild: ReturnType<typeof tsbuildIn>): Promise<void> {
  const rootfs = makeBaseRootfs();
  const tar = join(tmpDir(), 'rootfs.tar');
  execFileSync('tar', ['--numeric-owner', '--owner=0', '--group=0', '-cf', tar, '-C', rootfs, '.']);
  await tsbuild.must(['import', tar, 'alpine']);
}

describe('images in other tools', function () {
  this.timeout(120_000);
  const tsbuild = tsbuildIn(tmpDir());
  const out = tmpDir();

  before(async function () {
    needs(this, 'root', { program: 'busybox' }, { program: 'skopeo' }, { program: 'umoci' });
    await importBase(tsbuild);
    await tsbuild.must([join(PROJECT, 'examples/hello'), '-t', 'test']);
  });

  describe('Docker', () => {
    let engine: Engine | undefined;

    before(async function () {
      needs(this, { program: 'dockerd' });
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
      const [docker] = JSON.parse(await engine!.must('inspect', 'test')) as { Id: string }[];
      const [own] = JSON.parse((await tsbuild.must(['inspect', 'from-docker:1'])).stdout) as { Id: string }[];
      expect(own!.Id).to.equal(docker!.Id);
      expect((await tsbuild.must(['run', 'from-docker:1'])).stdout).to.equal('Hallo\n');
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
    await mustRun('umoci', ['unpack', '--image', `${out}/copied:test`, join(out, 'bundle')]);
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
    await mustRun('umoci', ['unpack', '--image', `${layout}:latest`, join(out, 'bundle2')]);
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
