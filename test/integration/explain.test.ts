import { expect } from 'chai';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
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

  describe('with --explain', () => {
    const context = makeContext({
      Dockerfile:
        'FROM base AS one\nCOPY a /\nRUN wc -c < /a > /size\nFROM base\nCOPY --from=one /size /\nRUN --mount=type=cache,id=x,target=/c cat /size\n',
      a: '1',
    });
    const dockerfile = readFileSync(join(context, 'Dockerfile'), 'utf8');

    it('is said of every step, with the key that hit, and what is not part of the key', async () => {
      await build(context);
      expect(
        new Set((await build(context, '--explain')).map((line) => line.replace(/^.*?: /, ''))),
      ).to.deep.equal(new Set(['cached: nothing that takes part in the key changed']));
      writeFileSync(join(context, 'a'), '2');
      writeFileSync(join(context, 'Dockerfile'), dockerfile.replace('id=x', 'id=y'));
      expect((await build(context, '--explain')).slice(1)).to.deep.equal([
        'COPY a /: not cached: "a" changed (content) in the build context',
        'RUN wc -c < /a > /size: not cached: [one 2/3] COPY a / ran and gave other files',
        'COPY --from=one /size /: cached: an earlier step changed, the files that it gives did not',
        'RUN --mount=type=cache,id=y,target=/c cat /size: cached: an earlier step changed, the files that it gives did not; id of the cache mount /c changed: "x" → "y" (not part of the key)',
      ]);
    });

    it('is told again by tsbuild why, by number, stage and text', async () => {
      const why = async (...args: string[]) =>
        (await tsbuild.must(['why', ...args])).stdout.split('\n').slice(2);
      const copy = ['[one 2/3] COPY a /', '  not cached: "a" changed (content) in the build context', ''];
      expect(await why('one/2', context)).to.deep.equal(copy);
      expect(await why('copy a', context)).to.deep.equal(copy);
      expect(await why('one/copy')).to.deep.equal(copy);
      expect((await why('3', context))[0]).to.equal(
        '[stage-1 3/3] RUN --mount=type=cache,id=y,target=/c cat /size',
      );
      expect((await why('3', context))[2]).to.match(
        /^ {2}it last ran at .*Z: not cached: first build of this step$/,
      );
      expect((await why()).filter((line) => line.startsWith('['))).to.have.length(5);
      expect(await why(context)).to.deep.equal(await why());
      const { stdout } = await tsbuild.must(['why', 'one/2', '--format', 'json']);
      expect((JSON.parse(stdout) as { steps: unknown[] }).steps[0]).to.deep.include({
        step: '[one 2/3] COPY a /',
        outcome: 'made',
        text: 'not cached: "a" changed (content) in the build context',
      });
      const wrong = await tsbuild.run(['why', 'copy b /', context]);
      expect(wrong.status).to.equal(2);
      expect(wrong.stderr).to.contain('did you mean "COPY a /"?');
      expect((await tsbuild.run(['why', '1', tmpDir()])).stderr).to.contain('the store knows no build of');
    });

    it('is told of the last build, also when that one found every step', async () => {
      const own = makeContext({ Dockerfile: 'FROM base\nCOPY word /\nRUN cat word > /words\n', word: '1' });
      const why = async (...args: string[]) =>
        (await tsbuild.must(['why', ...args])).stdout.split('\n').slice(2);
      const atMs = async () => {
        const { stdout } = await tsbuild.must(['why', '1', own, '--format', 'json']);
        return Date.parse((JSON.parse(stdout) as { at: string }).at);
      };
      await build(own);
      writeFileSync(join(own, 'word'), '2');
      await build(own);
      await build(own);
      const made = await why('2', own);
      expect(made[1]).to.equal('  cached: nothing that takes part in the key changed');
      expect(made[2]).to.match(/^ {2}it last ran at .*Z: not cached: "word" changed \(content\)/);
      const before = await atMs();
      writeFileSync(join(own, 'word'), '1');
      await build(own);
      expect((await why('2', own))[2]).to.match(
        /^ {2}it last ran at .*Z: not cached: first build of this step/,
      );
      await build(own, '--no-cache');
      expect((await why('3', own))[1]).to.equal('  not cached: --no-cache was given');
      await build(own);
      const [, cached, ran] = await why('3', own);
      expect(cached).to.equal('  cached: nothing that takes part in the key changed');
      expect(ran).to.match(/^ {2}it last ran at .*Z: not cached: --no-cache was given$/);
      expect(await why('3')).to.deep.equal(await why('3', own));
      expect(await atMs()).to.be.greaterThan(before);
    });

    it('is printed as JSON, also by a build that fails', async () => {
      writeFileSync(join(context, 'Dockerfile'), `${dockerfile}RUN exit 3\n`);
      const { stdout, status } = await tsbuild.run(['--explain=json', context, '--progress=quiet']);
      expect(status).to.equal(1);
      const { steps } = JSON.parse(stdout) as { steps: Record<string, unknown>[] };
      expect(steps.map(({ state }) => state)).to.deep.equal([...Array<string>(5).fill('cached'), 'failed']);
      expect(steps.at(-1)).to.deep.include({
        step: '[stage-1 4/4] RUN exit 3',
        stage: '1',
        line: 7,
        text: 'not cached: first build of this step, which is new in its stage',
        explanation: { outcome: 'miss', changes: [{ kind: 'first', isAdded: true }] },
      });
      const tar = await tsbuild.run(['--explain=json', context, '-o', '-']);
      expect([tar.status, tar.stdout]).to.deep.equal([2, '']);
    });
  });

  it('never shows the value of what looks like a secret', async () => {
    const token = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
    const url = 'https://me:hunter2@example.org';
    const context = makeContext({
      Dockerfile:
        'FROM base\nARG API_TOKEN\nARG PLAIN\nARG PLACE\nRUN echo $API_TOKEN$PLAIN$PLACE > /dev/null\n',
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

  describe('in a checkout at another path', () => {
    const dockerfile = 'FROM base\nCOPY one two /in/\nRUN cat /in/one | wc -w > /sum\nRUN wc /sum > /size\n';
    const checkout = (one: string, more: string = '') =>
      makeContext({ Dockerfile: `${dockerfile}${more}`, one, two: '2' });
    const first = checkout('1');

    before(() => build(first));

    it('is found by comparing with the build there, and says so', async () => {
      const other = checkout('changed');
      const compared = ` (compared with the build of ${first})`;
      expect(await build(other)).to.deep.equal([
        `COPY one two /in/: not cached: "one" changed (content) in the build context${compared}`,
      ]);
      writeFileSync(join(other, 'two'), '3');
      expect(await build(other)).to.deep.equal([
        'COPY one two /in/: not cached: "two" changed (content) in the build context',
      ]);
    });

    it('is when and why a step ran there, where every step is cached', async () => {
      const other = checkout('1');
      expect(await build(other)).to.deep.equal([]);
      const { stdout } = await tsbuild.must(['why', '3', other]);
      expect(stdout).to.contain(`build of ${other} `);
      expect(stdout.split('\n')[4]).to.match(
        new RegExp(`^  it last ran at .*Z in the build of ${first}: not cached: first build of this step$`),
      );
      const json = await tsbuild.must(['why', '3', other, '--format', 'json']);
      expect((JSON.parse(json.stdout) as { steps: unknown[] }).steps).to.have.nested.property(
        '[0].lastRun.place',
        first,
      );
    });

    it('is the nearest one: of the same image, else with the most steps in common, and half of them', async () => {
      const [tagged, alike] = [
        checkout('tagged', 'RUN true tagged\n'),
        checkout('alike', 'RUN true alike\nRUN true both\n'),
      ];
      await build(tagged, '-t', 'registry.example/shop:1');
      await build(alike);
      const said = async (more: string, ...flags: string[]) =>
        (await build(checkout('new', more), ...flags))[0]!.replace(
          /^.*\(compared with the build of (.*)\)$/,
          '$1',
        );
      expect(await said('RUN true both\nRUN true 0\n', '-t', 'registry.example/shop:2')).to.equal(tagged);
      expect(await said('RUN true tagged\nRUN true 1\n')).to.equal(tagged);
      expect(await said('RUN true alike\nRUN true 2\n')).to.equal(alike);
      const unlike = [1, 2, 3, 4].map((i) => `RUN true unlike ${i}\n`).join('');
      expect(await said(unlike)).to.contain('not cached: first build of this step');
    });
  });

  it('is another umask, which --context-mode=git takes out of the key', async () => {
    const context = makeContext({ Dockerfile: 'FROM base\nCOPY a /\n', a: '1' });
    await build(context);
    await build(context, '--context-mode=git');
    chmodSync(join(context, 'a'), 0o664);
    expect(await build(context, '--context-mode=git')).to.deep.equal([]);
    expect(await build(context)).to.deep.equal([
      'COPY a /: not cached: "a" changed (mode 0644 → 0664) in the build context; another umask? --chmod, or --context-mode=git, takes the modes out of the key',
    ]);
  });

  it('is the pruning of the record, with its time', async () => {
    const context = makeContext({ Dockerfile: 'FROM base\nRUN echo pruned\n' });
    await build(context);
    await tsbuild.must(['prune', '-f']);
    expect((await build(context)).at(-1)).to.match(
      /^RUN echo pruned: not cached: nothing changed, but the result of [-0-9]+ [:0-9]+Z was pruned at [-0-9]+ [:0-9]+Z$/,
    );
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
