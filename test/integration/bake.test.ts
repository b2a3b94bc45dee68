import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildBase } from '../kit/base-context.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('bake builds', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    await buildBase(tsbuild);
  });

  const linked = () =>
    makeContext({
      'docker-bake.hcl': `
variable "GREETING" { default = "hello" }
group "default" { targets = ["app", "copy"] }
target "tools" {
  tags = ["tools-name"]
  args = { GREETING = GREETING }
  dockerfile-inline = <<EOT
FROM base
ARG GREETING
ENV FROM_TOOLS=yes
RUN echo $GREETING >/greeting
EOT
}
target "app" {
  contexts = { tools = "target:tools" }
  tags = ["app"]
  dockerfile-inline = <<EOT
FROM tools
RUN cat /greeting >/app && echo $FROM_TOOLS >>/app
EOT
}
target "copy" {
  contexts = { other = "target:tools" }
  output = ["out"]
  dockerfile-inline = <<EOT
FROM scratch
COPY --from=other /greeting /copied
EOT
}
`,
    });

  it('target: contexts link the result of one target into others, in FROM and COPY --from', async () => {
    const cwd = linked();
    const { stderr } = await tsbuild.must(['bake', '--progress=plain'], { cwd });
    expect((await tsbuild.must(['run', 'app', 'cat', '/app'])).stdout).to.equal('hello\nyes\n');
    expect(readFileSync(join(cwd, 'out/copied'), 'utf8')).to.equal('hello\n');
    expect(stderr).to.match(/\[app [^\]]*\] FROM target:tools@/);
    expect(stderr)
      .to.match(/\[tools [^\]]*\] RUN echo/)
      .and.to.match(/\[app [^\]]*\] RUN cat/);
    const { stdout: images } = await tsbuild.must(['images']);
    expect(images).to.contain('app').and.not.to.contain('tools-name');
  });

  it('target: contexts for two platforms, in a store that has no image yet', async () => {
    const cwd = makeContext({
      f: 'f',
      'docker-bake.hcl': `
target "base" {
  platforms = ["linux/amd64", "linux/arm64"]
  output = ["base-out"]
  dockerfile-inline = "FROM scratch\\nARG TARGETARCH\\nCOPY f /f-$TARGETARCH\\n"
}
target "app" {
  contexts = { b = "target:base" }
  platforms = ["linux/amd64", "linux/arm64"]
  output = ["type=docker"]
  dockerfile-inline = "FROM b\\nCOPY f /g\\n"
}
target "default" {
  contexts = { b = "target:app" }
  platforms = ["linux/arm64"]
  output = ["type=local,dest=out"]
  dockerfile-inline = "FROM b\\n"
}
`,
    });
    await tsbuildIn(tmpDir()).must(['bake', 'default', 'base'], { cwd });
    expect(readdirSync(join(cwd, 'out')).sort()).to.deep.equal(['f-arm64', 'g']);
    expect(readdirSync(join(cwd, 'base-out/linux_amd64'))).to.deep.equal(['f-amd64']);
  });

  it('target: contexts take a change along, and are cached without one', async () => {
    const cwd = linked();
    const outputOf = async (GREETING: string) => {
      await tsbuild.must(['bake', 'app'], { cwd, env: { GREETING } });
      return (await tsbuild.must(['run', 'app', 'cat', '/app'])).stdout;
    };
    expect(await outputOf('first')).to.equal('first\nyes\n');
    expect(await outputOf('second')).to.equal('second\nyes\n');
    const { stderr } = await tsbuild.must(['bake', '--progress=plain'], { cwd, env: { GREETING: 'second' } });
    expect(stderr).to.match(/\[app [^\]]*\] RUN cat[^\n]*\n[^\n]*CACHED/);
  });

  it('a matrix, each with its arguments, stage, labels and metadata', async () => {
    const cwd = makeContext({
      'docker-bake.hcl': `
target "default" {
  matrix = { n = ["one", "two"] }
  name = "m-\${n}"
  args = { N = n }
  labels = { "which" = n }
  target = "wanted"
  tags = ["m:\${n}"]
  context = "dir"
}
`,
      'dir/Dockerfile': 'FROM base AS wanted\nARG N\nRUN echo $N >/n\nFROM wanted\nRUN false\n',
    });
    await tsbuild.must(['bake', '--metadata-file', 'meta.json'], { cwd });
    expect((await tsbuild.must(['run', 'm:two', 'cat', '/n'])).stdout).to.equal('two\n');
    expect((await tsbuild.must(['inspect', 'm:one'])).stdout).to.contain('"which": "one"');
    const metadata = JSON.parse(readFileSync(join(cwd, 'meta.json'), 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    expect(Object.keys(metadata).sort()).to.deep.equal(['m-one', 'm-two']);
    expect(metadata['m-one']!['image.name']).to.equal('docker.io/library/m:one');
  });

  it('compose services, with a secret and --set', async () => {
    const cwd = makeContext({
      'compose.yaml':
        'services:\n  web:\n    image: web\n    build: { context: ., args: { A: "1" }, secrets: [s] }\nsecrets: { s: { file: ./secret } }\n',
      Dockerfile:
        'FROM base\nARG A\nRUN --mount=type=secret,id=s wc -c </run/secrets/s >/size && echo $A >>/size\n',
      secret: 'four',
    });
    await tsbuild.must(['bake', '--set', 'web.args.A=2'], { cwd });
    expect((await tsbuild.must(['run', 'web', 'cat', '/size'])).stdout).to.equal('4\n2\n');
  });

  it('and a failure ends the other targets, names its target and gives status 1', async () => {
    const cwd = makeContext({
      'docker-bake.hcl': `
group "default" { targets = ["bad", "slow"] }
target "bad" { dockerfile-inline = "FROM base\\nRUN sleep 1; exit 3\\n" }
target "slow" {
  tags = ["slow"]
  dockerfile-inline = "FROM base\\nRUN sleep 50\\n"
}
`,
    });
    const { status, stderr, elapsedMs } = await tsbuild.run(['bake'], { cwd });
    expect(status).to.equal(1);
    expect(stderr).to.contain('error: target "bad": ');
    expect(elapsedMs).to.be.lessThan(30_000);
    expect((await tsbuild.must(['images'])).stdout).not.to.contain('slow');
  });

  it('nothing where a target asks for what is not there or was not allowed', async () => {
    const refused = async (keys: string, ...args: string[]) => {
      const cwd = makeContext({
        'docker-bake.hcl': `target "default" {\n  dockerfile-inline = "FROM scratch\\nCOPY . /"\n  output = ["out"]\n${keys}\n}\n`,
      });
      const { status, stderr } = await tsbuild.run(['bake', ...args], { cwd });
      expect(existsSync(join(cwd, 'out'))).to.equal(status === 0);
      return `${status} ${/\[(\w+),/.exec(stderr)?.[1] ?? ''}`;
    };
    expect(await refused('attest = ["type=sbom"]')).to.equal('2 UNSUPPORTED');
    expect(await refused('call = "check"')).to.equal('2 UNSUPPORTED');
    expect(await refused('resources = { memory = "1g" }')).to.equal('2 BAKE_INVALID');
    expect(await refused('annotations = ["index:a=b"]')).to.equal('2 UNSUPPORTED');
    expect(await refused('network = "host"')).to.equal('1 NOT_PERMITTED');
    expect(await refused('network = "host"', '--allow', 'network.host')).to.equal('0 ');
  });

  it('nothing where two targets write one archive; into one directory they may write', async () => {
    const bake = async (output: string) => {
      const target = (name: string) =>
        `target "${name}" {\n  dockerfile-inline = "FROM scratch\\nCOPY ${name} /"\n  output = ["${output}"]\n}\n`;
      const cwd = makeContext({ 'docker-bake.hcl': target('a') + target('b'), a: 'a', b: 'b' });
      return { cwd, ...(await tsbuild.run(['bake', 'a', 'b'], { cwd })) };
    };
    const refused = await bake('type=oci,dest=x.tar');
    expect([refused.status, readdirSync(refused.cwd)]).to.deep.equal([2, ['a', 'b', 'docker-bake.hcl']]);
    expect(refused.stderr).to.match(
      /two outputs write to "\S*x\.tar": type=oci of target "a" and type=oci of target "b"/,
    );
    const shared = await bake('out');
    expect([shared.status, readdirSync(join(shared.cwd, 'out'))]).to.deep.equal([0, ['a', 'b']]);
  });
});
