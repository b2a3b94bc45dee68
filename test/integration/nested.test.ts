import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { makeContext } from '../kit/context.js';
import { NestedContainer } from '../kit/nested-container.js';
import { needs } from '../kit/needs.js';

const BUILD = 'tsbuild -q base -t base && tsbuild app --progress=plain';

describe('tsbuild in a container with a user namespace', function () {
  this.timeout(60_000);
  let container: NestedContainer;

  before(function () {
    needs(this, 'root', { program: 'crun' }, { program: 'busybox' });
    container = new NestedContainer();
    makeContext(
      {
        'base/Dockerfile': 'FROM scratch\nCOPY . /\n',
        'app/Dockerfile': 'FROM base\nRUN echo made by $(id -u) of $(wc -l < /proc/self/uid_map) range\n',
      },
      container.home,
    );
    makeBaseRootfs(join(container.home, 'base'));
    execFileSync('chmod', ['755', container.home]);
  });

  for (const executor of ['crun', 'sandbox'] as const)
    for (const [who, rights] of [
      ['an ordinary user with the default capabilities', { uid: 1000 }],
      ['root with CAP_SYS_ADMIN', { uid: 0, capabilities: ['SYS_ADMIN'] }],
    ] as const)
      it(`builds as ${who}, with ${executor}`, async () => {
        const result = await container.run(BUILD, { ...rights, env: { TSBUILD_EXECUTOR: executor } });
        expect(result.status, result.stderr).to.equal(0);
        expect(result.stderr).to.match(/^#\d+ [\d.]+ made by 0 of 1 range$/m);
      });

  it('says what root lacks with the default capabilities, also to doctor', async () => {
    const built = await container.run(BUILD, { uid: 0 });
    expect(built.status).to.equal(1);
    expect(built.stderr).to.contain('in a container it needs CAP_SYS_ADMIN').and.contain('[NOT_PERMITTED');
    const doctor = await container.run('tsbuild doctor', { uid: 0 });
    expect(doctor.status).to.equal(1);
    expect(doctor.stdout).to.match(
      /^failed +mounts +root may not mount here: .*\n +mend: .*--cap-add SYS_ADMIN/m,
    );
  });

  it("tells doctor that the container's filter refuses namespaces", async () => {
    const doctor = await container.run('tsbuild doctor', { uid: 1000, refused: ['unshare'] });
    expect(doctor.status).to.equal(1);
    expect(doctor.stdout).to.match(
      /^failed +user namespaces +this user cannot make one: .*\n +mend: .*seccomp=unconfined/m,
    );
  });
});
