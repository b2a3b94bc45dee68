import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, PROJECT, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { debianRootfs, hasDebianRootfs } from '../kit/debian-rootfs.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

describe('a real Debian base image', function () {
  this.timeout(600_000);
  const tsbuild = tsbuildIn(tmpDir());

  before(async function () {
    needs(this, hasDebianRootfs() ? 'builder' : 'root', { program: 'debootstrap' }, { program: 'crun' });
    await tsbuild.must(['import', await debianRootfs(), 'debian:bookworm-slim']);
  });

  it('installs a compiler with apt, compiles in the builder stage, and the final image runs the program', async () => {
    const context = makeContext({
      Dockerfile: [
        'FROM debian:bookworm-slim AS builder',
        'RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev',
        'COPY main.c /src/main.c',
        'RUN gcc -O2 -o /usr/local/bin/answer /src/main.c',
        'FROM debian:bookworm-slim',
        'COPY --from=builder /usr/local/bin/answer /usr/local/bin/',
        'USER nobody',
        'CMD ["answer"]',
      ].join('\n'),
      'main.c':
        '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("%d by %d\\n", 6 * 7, getuid()); return 0; }\n',
    });
    await tsbuild.must([context, '-t', 'answer', '--progress=plain']);
    const { stdout } = await tsbuild.must(['run', 'answer']);
    expect(stdout).to.equal('42 by 65534\n');
  });

  it('builds examples/multi-stage, whose server answers', async () => {
    await tsbuild.must([join(PROJECT, 'examples/multi-stage'), '-t', 'server', '--progress=plain']);
    const script = join(tmpDir(), 'ask.sh');
    writeFileSync(
      script,
      'for i in $(seq 100); do exec 3<>/dev/tcp/127.0.0.1/8080 && break; sleep 0.2; done 2>/dev/null\nprintf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3\n',
    );
    const [server, answer] = await Promise.all([
      tsbuild.must(['run', '--network=host', 'server', '--once']),
      mustRun('bash', [script]),
    ]);
    expect(server.stdout).to.contain('listening on port 8080');
    expect(answer).to.match(/Hallo\n$/);
  });
});
