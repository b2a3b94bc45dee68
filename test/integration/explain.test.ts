import { expect } from 'chai';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const root = tmpDir();
const tsbuild = tsbuildIn(root);

/** What plain progress says of each step: `RUN make: not cached: …`. */
function reasons(stderr: string): string[] {
  const names = new Map<string, string>();
  return stderr.split('\n').flatMap((line) => {
    const [, id, rest] = /^#(\d+) (.*)$/.exec(line) ?? [];
    if (rest?.startsWith('[')) names.set(id!, rest.replace(/^\[[^\]]*\] /, ''));
    return rest && /^(not )?cached: /.test(rest) ? [`${names.get(id!)}: ${rest}`] : [];
  });
}

describe('why a step is not cached', function () {
  this.timeout(120_000);

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'busybox' });
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n', '.dockerignore': 'Dockerfile\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
  });

  async function build(context: string, ...flags: string[]): Promise<string[]> {
    const { stderr } = await tsbuild.run([context, '--progress=plain', '-o', 'type=cacheonly', ...flags]);
    return reasons(stderr);
  }

  it('is said once a build, at the first step, and not at those below it', async () => {
    const context = makeContext({
      Dockerfile: 'FROM base\nCOPY a b /in/\nRUN cat /in/* > /out\nRUN wc /out\n',
      a: '1',
      b: '2',
    });
    expect((await build(context)).map((line) => line.replace(/^.*?: /, ''))).to.deep.equal([
      'not cached: first build of this step',
    ]);
    expect(await build(context)).to.deep.equal([]);
    writeFileSync(join(context, 'b'), '3');
    expect(await build(context)).to.deep.equal([
      'COPY a b /in/: not cached: "b" changed (content) in the build context',
    ]);
  });

  it('is an event for machines, and a line of the terminal', async () => {
    const context = makeContext({ Dockerfile: 'FROM base\nCOPY a /\n', a: '1' });
    await build(context);
    writeFileSync(join(context, 'a'), '2');
    const raw = await tsbuild.must([context, '--progress=rawjson']);
    const events = raw.stderr
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const [explained, ...others] = events.filter(({ kind }) => kind === 'explained');
    expect(others).to.deep.equal([]);
    expect(explained!['explanation']).to.deep.include({
      outcome: 'miss',
      changes: [
        {
          kind: 'files',
          place: 'the build context',
          files: [{ path: 'a', change: 'changed', fields: [{ field: 'content' }] }],
          total: 1,
          isModeOnly: false,
        },
      ],
    });
    writeFileSync(join(context, 'a'), '3');
    const { stderr } = await tsbuild.must([context, '--progress=tty']);
    expect(stderr).to.contain(' => => not cached: "a" changed (content) in the build context');
  });

  it('never shows the value of what looks like a secret', async () => {
    const token = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
    const url = 'https://me:hunter2@example.org';
    const context = makeContext({
      Dockerfile: 'FROM base\nARG API_TOKEN\nARG PLAIN\nARG PLACE\nRUN true\n',
    });
    const flags = (value: string) =>
      ['PLAIN', 'API_TOKEN'].flatMap((name) => ['--build-arg', `${name}=${value}`]);
    await build(context, ...flags(`${token.slice(0, -1)}0`), '--build-arg', `PLACE=${url}0`);
    const said = await build(context, ...flags(token), '--build-arg', `PLACE=${url}`);
    expect(said.join('\n'))
      .to.match(
        /ARG API_TOKEN changed \(its value is not shown\).*ARG PLAIN changed \(its value is not shown/,
      )
      .and.not.match(/ghp_|hunter2/);
  });

  it('is the loss of the record when nothing changed, and a failure when there never was one', async () => {
    const context = makeContext({ Dockerfile: 'FROM base\nRUN echo lost\n' });
    await build(context);
    rmSync(join(root, 'records'), { recursive: true });
    expect((await build(context)).at(-1)).to.match(
      /^RUN echo lost: not cached: nothing changed, but the result of [-0-9]+ [:0-9]+Z is not in the store any more$/,
    );
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nRUN exit 3\n');
    expect((await build(context)).at(-1)).to.equal(
      'RUN exit 3: not cached: command changed: "echo lost" → "exit 3"',
    );
    expect((await build(context)).at(-1)).to.match(
      /^RUN exit 3: not cached: nothing changed, but it failed when it ran at /,
    );
  });
});
