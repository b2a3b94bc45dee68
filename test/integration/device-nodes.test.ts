import { chmodSync, chownSync, lstatSync } from 'node:fs';
import { expect } from 'chai';
import { buildBase } from '../kit/base-context.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const MODE = 0o666;

/** A step of root may change what it sees of the machine's devices; runtimes do so of themselves for other users. */
describe("the machine's device nodes", function () {
  this.timeout(60_000);
  const root = tmpDir();

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'runc' }, { program: 'busybox' });
    await buildBase(tsbuildIn(root));
  });

  // Whatever came of it, the machine goes on.
  afterEach(() => {
    for (const name of DEVICES) {
      chownSync(`/dev/${name}`, 0, name === 'tty' ? lstatSync('/dev/tty').gid : 0);
      chmodSync(`/dev/${name}`, MODE);
    }
  });

  const nodes = () =>
    DEVICES.map((name) => {
      const { mode, uid, gid, mtimeMs, rdev } = lstatSync(`/dev/${name}`);
      return [name, mode & 0o7777, uid, gid, name === 'tty' ? 0 : mtimeMs, rdev];
    });

  for (const executor of ['crun', 'runc', 'sandbox']) {
    const tsbuild = tsbuildIn(root, { TSBUILD_EXECUTOR: executor });
    const attempts = {
      'change modes, owners and times': [
        'FROM base',
        `RUN cd /dev && chmod 662 ${DEVICES.join(' ')} && chown 7:8 ${DEVICES.join(' ')} && touch -d @1000 ${DEVICES.join(' ')}`,
        'RUN [ "$(stat -c %a:%u:%g /dev/null)" = 666:0:0 ] && echo x > /dev/null && head -c 3 /dev/zero > /three',
      ],
      'change what stands in for standard input and for hidden files': [
        'FROM base',
        'RUN chmod 662 /proc/self/fd/0; chown 7 /proc/self/fd/0; for f in /proc/keys /proc/kcore /proc/timer_list; do chmod 662 $f; done; true',
      ],
      'run as another user': ['FROM base', 'USER 33:8', 'RUN true && chmod 662 /proc/self/fd/0 || true'],
    };
    for (const [what, lines] of Object.entries(attempts))
      it(`are as before after steps with ${executor} that ${what}`, async () => {
        const before = nodes();
        const context = makeContext({ Dockerfile: `${lines.join('\n')}\n` });
        await tsbuild.must([context, '--no-cache', '--progress=plain', '-o', 'type=cacheonly']);
        expect(nodes()).to.deep.equal(before);
      });

    it(`are as before after tsbuild run with ${executor}`, async () => {
      const before = nodes();
      await tsbuild.must(['run', '-u', '33:8', 'base', 'true']);
      await tsbuild.must(['run', 'base', 'sh', '-c', 'chmod 600 /dev/null /proc/self/fd/0']);
      expect(nodes()).to.deep.equal(before);
    });
  }
});
