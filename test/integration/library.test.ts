import { expect } from 'chai';
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
});
