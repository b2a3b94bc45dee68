import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBaseRootfs } from '../kit/base-image.js';
import { type CommandResult, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { tracesOf } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { type Registry, startRegistry } from '../kit/registry.js';
import { tmpDir } from '../kit/tmp-dir.js';

const PROCESSES = 16;
const root = tmpDir();
const shared = tsbuildIn(root);

/** Counts requests by path; each is answered after a while, so that the builds meet. */
class Counter {
  readonly counts = new Map<string, number>();
  readonly #server: Server = createServer((request, response) => {
    const path = request.url!;
    this.counts.set(path, (this.counts.get(path) ?? 0) + 1);
    setTimeout(() => response.end(`answer ${this.counts.get(path)}\n`), 1000);
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

function together(arguments_: (i: number) => readonly string[], tsbuild = shared): Promise<CommandResult[]> {
  return Promise.all(Array.from({ length: PROCESSES }, (_, i) => tsbuild.run(arguments_(i))));
}

function expectAllDone(results: readonly CommandResult[]): void {
  for (const { status, stderr } of results) expect(status, stderr).to.equal(0);
}

describe(`${PROCESSES} processes on one store`, function () {
  this.timeout(120_000);
  const counter = new Counter();

  before(async function () {
    needs(this, 'builder', { program: 'crun' }, { program: 'busybox' });
    await counter.start();
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    await shared.must([context, '-t', 'base']);
  });

  afterEach(() => expect(tracesOf(root, shared.pids)).to.deep.equal([]));
  after(() => counter.stop());

  it('run equal steps once, as seen from outside, and get the same image', async () => {
    const context = makeContext({
      Dockerfile: [
        'FROM base AS one',
        `RUN --network=host wget -q -O /1 ${counter.url}/one`,
        'FROM base AS two',
        `RUN --network=host wget -q -O /2 ${counter.url}/two`,
        'FROM base',
        'COPY --from=one /1 /',
        'COPY --from=two /2 /',
        `RUN --network=host cat /1 /2 && wget -q -O /3 ${counter.url}/three`,
      ].join('\n'),
    });
    const results = await together((i) => [
      context,
      '-t',
      `same${i}`,
      '--progress=plain',
      '--allow=network.host',
    ]);
    expectAllDone(results);
    expect(Object.fromEntries(counter.counts)).to.deep.equal({ '/one': 1, '/two': 1, '/three': 1 });
    const ids = await Promise.all(
      results.map(
        async (_, i) =>
          (JSON.parse((await shared.must(['inspect', `same${i}`])).stdout) as { Id: string }[])[0]!.Id,
      ),
    );
    expect(new Set(ids).size).to.equal(1);
  });

  it('follow the output of the one that works, while it works', async () => {
    const context = makeContext({
      Dockerfile: 'FROM base\nRUN for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.3; done\n',
    });
    const results = await Promise.all([0, 1, 2].map(() => shared.must([context, '--progress=plain'])));
    for (const { stderr } of results) {
      const lines = [...stderr.matchAll(/^#\d+ ([\d.]+) line (\d)$/gm)];
      expect(lines.map((line) => line[2])).to.deep.equal(['1', '2', '3', '4', '5', '6', '7', '8']);
      expect(Number(lines[7]![1]) - Number(lines[0]![1]), 'it came live').to.be.greaterThan(1);
    }
    const waiting = results.filter(({ stderr }) =>
      /waiting for process \d+, .* since [\d: -]+UTC: \[2\/2\] RUN for/.test(stderr),
    );
    expect(waiting).to.have.length(2);
  });

  it('show the output of a step that failed elsewhere, then run it themselves', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM base\nRUN --mount=type=cache,id=failing,target=/c echo run $$ >> /c/runs; echo "the reason" >&2; sleep 1; exit 3\n',
    });
    const results = await Promise.all([0, 1, 2].map(() => shared.run([context, '--progress=plain'])));
    for (const { status, stderr } of results) {
      expect(status).to.equal(1);
      expect(stderr).to.contain('exit code: 3');
    }
    const followed = results.filter(({ stderr }) => stderr.includes('the other process did not succeed'));
    expect(followed).to.have.length(2);
    for (const { stderr } of followed)
      expect(stderr.match(/^#\d+ [\d.]+ the reason$/gm)!.length).to.be.at.least(2);
  });

  describe('that need the same files from elsewhere', () => {
    let registry: Registry;

    before(async () => {
      registry = await startRegistry();
      await shared.must(['tag', 'base', `${registry.host}/base:1`]);
      await shared.must(['push', `${registry.host}/base:1`]);
    });
    after(() => registry.stop());

    it('download an image and unpack its layers once', async () => {
      const other = tmpDir();
      const context = makeContext({ Dockerfile: `FROM ${registry.host}/base:1\nARG N\nRUN echo $N\n` });
      const requests = await countRequests(registry.host, async (host) => {
        writeFileSync(join(context, 'Dockerfile'), `FROM ${host}/base:1\nARG N\nRUN echo $N\n`);
        expectAllDone(await together((i) => [context, '--build-arg', `N=${i}`], tsbuildIn(other)));
      });
      const blobs = requests.filter((line) => line.includes('/blobs/'));
      expect(blobs.length, 'something was downloaded').to.be.greaterThan(1);
      expect(new Set(blobs).size).to.equal(blobs.length);
      expect(
        requests.filter((line) => line.startsWith('GET') && line.includes('/manifests/1')),
      ).to.have.length(1);
    });

    it('download a URL of ADD once', async () => {
      const context = makeContext({ Dockerfile: `FROM scratch\nADD ${counter.url}/added /\n` });
      expectAllDone(await together(() => [context]));
      expect(counter.counts.get('/added')).to.be.at.most(2);
    });
  });

  describe('that use one cache mount', () => {
    const step = (sharing: string, id: string) =>
      makeContext({
        Dockerfile: [
          'FROM base',
          'ARG N',
          `RUN --mount=type=cache,id=${id},sharing=${sharing},target=/c n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.05; echo $((n+1)) > /c/n; echo "$N" >> /c/all; echo seen $(wc -l < /c/all)`,
        ].join('\n'),
      });
    const run = async (sharing: string, id: string, count: number) => {
      const context = step(sharing, id);
      const results = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          shared.run([context, '--progress=plain', '--build-arg', `N=${id}${i}`]),
        ),
      );
      expectAllDone(results);
      const { stderr } = await shared.must([
        makeContext({
          Dockerfile: `FROM base\nRUN --mount=type=cache,id=${id},target=/c echo counted $(cat /c/n) of $(wc -l < /c/all)\n`,
        }),
        '--progress=plain',
        '--no-cache',
      ]);
      return {
        results,
        counted: /counted (\d+) of (\d+)/.exec(stderr.replace(/RUN.*/g, ''))!.slice(1).map(Number),
      };
    };

    it('have it one after the other where it is locked', async () => {
      expect((await run('locked', 'locked', 12)).counted).to.deep.equal([12, 12]);
    });

    it('have it together where it is shared', async () => {
      const { counted } = await run('shared', 'shared', 12);
      expect(counted[1]).to.equal(12);
    });

    it('have one each where it is private', async () => {
      const barrier = 'for t in $(seq 100); do [ "$(ls /s | wc -l)" = 4 ] && break; sleep 0.1; done';
      const context = makeContext({
        Dockerfile: `FROM base\nARG N\nRUN --mount=type=cache,id=own,sharing=private,target=/c --mount=type=cache,id=meet,target=/s touch /s/$N; ${barrier}; echo $N >> /c/mine; echo mine: $(cat /c/mine)\n`,
      });
      const results = await Promise.all(
        [0, 1, 2, 3].map((i) => shared.must([context, '--progress=plain', '--build-arg', `N=p${i}`])),
      );
      for (const [i, { stderr }] of results.entries())
        expect(stderr).to.match(new RegExp(`mine: p${i}$`, 'm'));
    });

    it('do not wait for each other for ever, in whatever order they lock', async () => {
      const mount = (id: string) => `--mount=type=cache,id=${id},sharing=locked,target=/${id}`;
      const contexts = [
        [mount('left'), mount('right')],
        [mount('right'), mount('left')],
        [mount('left'), mount('left').replace('target=/left', 'target=/again')],
      ].map((mounts) =>
        makeContext({ Dockerfile: `FROM base\nARG N\nRUN ${mounts.join(' ')} echo $N; sleep 0.2\n` }),
      );
      expectAllDone(
        await Promise.all(
          [0, 1, 2, 3, 4, 5].map((i) => shared.run([contexts[i % 3]!, '--build-arg', `N=order${i}`])),
        ),
      );
    });
  });
});

/** A proxy in front of a registry that notes what is asked. */
async function countRequests(host: string, use: (proxy: string) => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const server = createServer((request, response) => {
    lines.push(`${request.method} ${request.url}`);
    void (async () => {
      await sleep(50);
      const answer = await fetch(`http://${host}${request.url}`, {
        method: request.method!,
        headers: { accept: request.headers.accept ?? '*/*' },
      });
      const headers = Object.fromEntries(
        [...answer.headers].filter(([name]) => !/encoding|connection/.test(name)),
      );
      response.writeHead(answer.status, headers).end(Buffer.from(await answer.arrayBuffer()));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  return lines;
}
