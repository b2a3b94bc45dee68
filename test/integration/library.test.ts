import { expect } from 'chai';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeContext } from '../kit/context.js';
import { codeOf } from '../kit/code-of.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { build, inspectImage, type ProgressEvent } from '../../src/index.js';

describe('the library', () => {
  before(function () {
    needs(this, 'builder');
  });

  const root = tmpDir();

  it('builds an image with typed options and reports progress', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY a /a\nLABEL x=1\n', a: 'a\n' });
    const events: ProgressEvent[] = [];
    const result = await build({ context, tags: ['lib'], root, onProgress: (event) => events.push(event) });
    expect(result.names).to.deep.equal(['docker.io/library/lib:latest']);
    expect(result.stats.executed).to.be.greaterThan(0);
    expect(events.some((event) => event.kind === 'done')).to.equal(true);
    const again = await build({ context, tags: ['lib'], root });
    expect(again.descriptor?.digest).to.equal(result.descriptor?.digest);
    expect(again.stats.executed).to.equal(0);
    expect(JSON.stringify(await inspectImage('lib', { root }))).to.contain('"x":"1"');
  });

  it('rejects with a code and the place', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY missing /x\n', 'missin.txt': '' });
    expect(await codeOf(build({ context, root }))).to.equal('COPY_SOURCE_NOT_FOUND');
  });

  it('ends with the reason of its AbortSignal', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY a /a\n', a: 'a\n' });
    const reason = new Error('enough');
    const error = await build({ context, root, signal: AbortSignal.abort(reason) }).catch(
      (caught: unknown) => caught,
    );
    expect(error).to.equal(reason);
  });

  describe('when an export fails', () => {
    const contextOf = (text: string) => makeContext({ Dockerfile: 'FROM scratch\nCOPY a /a\n', a: text });
    const ofCache = (events: readonly ProgressEvent[]) =>
      events.flatMap((event) => ('digest' in event && event.digest?.startsWith('cache-to ') ? [event] : []));

    it('that of the image ends that of the cache, and waits for it', async () => {
      const stdout = new PassThrough();
      let open = 0;
      const answers: (() => void)[] = [];
      const server = createServer((_, response) => {
        open++;
        response.once('close', () => open--);
        answers.push(() => response.writeHead(404).end());
        stdout.destroy(new Error('nobody reads it'));
      });
      after(() => void server.close());
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const ref = `127.0.0.1:${(server.address() as AddressInfo).port}/x:cache`;
      const context = contextOf(randomBytes(1 << 20).toString('hex'));
      const events: ProgressEvent[] = [];
      const error = await build({
        context,
        root,
        outputs: [{ type: 'tar', dest: '-' }],
        stdout,
        cacheTo: [{ type: 'registry', attributes: { ref } }],
        onProgress: (event) => events.push(event),
      }).catch((caught: unknown) => caught);
      const count = events.length;
      expect(String(error)).to.contain('nobody reads it');
      expect(ofCache(events).at(-1)?.kind).to.equal('canceled');
      for (const answer of answers) answer();
      await sleep(300);
      expect(events.slice(count)).to.deep.equal([]);
      expect(open).to.equal(0);
    });

    it('that of the cache leaves the image whole, and waits for it', async () => {
      const context = contextOf(randomBytes(2 << 20).toString('hex'));
      const stdout = new PassThrough();
      const events: ProgressEvent[] = [];
      let ended = false;
      const failure = build({
        context,
        root,
        outputs: [{ type: 'tar', dest: '-' }],
        stdout,
        cacheTo: [{ type: 'local', attributes: { dest: join(context, 'a/below'), 'ignore-error': 'false' } }],
        onProgress: (event) => events.push(event),
      })
        .catch((error: unknown) => error)
        .finally(() => (ended = true));
      while (!ended && !ofCache(events).some(({ kind }) => kind === 'failed')) await sleep(10);
      await sleep(200);
      expect(ended, 'before the image is read').to.equal(false);
      let bytes = 0;
      stdout.on('data', (chunk: Buffer) => (bytes += chunk.length));
      expect(String(await failure)).to.contain('ENOTDIR');
      expect(bytes).to.be.greaterThan(4 << 20);
    });
  });
});
