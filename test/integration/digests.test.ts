import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { runCommand, tsbuildIn, TSBUILD } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { makeOrdinaryUser, type OrdinaryUser } from '../kit/ordinary-user.js';
import { paxEntry, rawEntry, rawTar } from '../kit/tar.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { ORACLE_CASES, type OracleCase } from './oracle-cases.js';

const EXECUTORS = ['crun', 'runc', 'sandbox'] as const;

/** Beside the cases that are compared with BuildKit: what a runtime or a user namespace could see in another way. */
const MORE_CASES: readonly OracleCase[] = [
  {
    name: 'RUN that writes down what it sees of its sandbox',
    dockerfile:
      'FROM base\nRUN id > /seen && umask >> /seen && pwd >> /seen && env | sort >> /seen && cat /etc/hosts >> /seen && hostname >> /seen && ls -a / >> /seen\n' +
      'RUN stat -c "%n %a %u %g %F" /dev/shm /tmp /etc/hosts /etc/resolv.conf > /stats && stat -c "%n %a %F" /dev/null /dev/zero /proc /sys >> /stats && ulimit -n > /limits\n',
  },
  {
    name: 'RUN with every kind of mount',
    dockerfile:
      'FROM base\nRUN mkdir -p /in\nRUN --mount=type=cache,target=/c,uid=5,gid=6,mode=0750 --mount=type=tmpfs,target=/t --mount=type=bind,target=/in,rw ' +
      'stat -c "%n %a %u %g" /c /in/f > /seen; echo x > /c/x; echo y > /t/y; echo z > /in/z; ls / > /names\n',
    files: { f: 'f\n' },
  },
  {
    name: 'devices, whiteouts of directories and opaque directories',
    dockerfile:
      'FROM base\nRUN mkdir -p /a/b/c /d && touch /a/b/c/f /d/f && ln -s /a/b /s\nRUN rm -rf /a/b && mkdir /a/b && touch /a/b/new && rm -rf /d\nRUN mknod /p p && chmod 640 /p && chown 3:4 /p\n',
  },
  {
    name: 'owners at the ends of the range',
    dockerfile:
      'FROM base\nUSER 1000:27\nRUN touch /tmp/mine\nUSER 0\nRUN touch /x && chown 65534:65534 /x && chown -h 60000:1 /sbin\n',
  },
  {
    name: 'files with setuid, setgid and sticky bits, changed by steps',
    dockerfile:
      'FROM base\nRUN cp /bin/busybox /a && chmod 4755 /a && cp /a /b && chmod 6711 /b && mkdir /d && chmod 3777 /d && chown 5:6 /d\n' +
      'RUN chown 7:8 /b && chmod g+s /b && cp -p /a /c && touch /a\nCOPY --chmod=4711 --chown=9 f /e\nRUN stat -c "%n %a %u %g" /a /b /c /d /e > /seen\n',
    files: { f: 'f\n' },
  },
  {
    name: 'capabilities of files, in an archive and in a layer above',
    dockerfile: 'FROM base\nADD a.tar /\nRUN chmod 700 /ping && mv /ping2 /moved && chown 3:4 /ping3\n',
    files: { 'a.tar': rawTar(...['ping', 'ping2', 'ping3'].flatMap(withCapability)) },
  },
];

/** A program that may send raw packets, as tar of GNU packs it. */
function withCapability(name: string): Buffer[] {
  const [revision2Effective, netRaw] = [0x02000001, 1 << 13];
  const value = Buffer.from(Uint32Array.of(revision2Effective, netRaw, 0, 0, 0).buffer);
  return [
    paxEntry({ 'SCHILY.xattr.security.capability': value }),
    rawEntry({ name, mode: 0o755, body: 'a program\n' }),
  ];
}

/** The digest of an image does not tell who built it, nor with what. */
describe('the digest of an image is the same', function () {
  this.timeout(180_000);
  let user: OrdinaryUser | undefined;
  let layout: string;
  const root = tmpDir();

  before(async function () {
    needs(
      this,
      'root',
      ...['crun', 'runc', 'unshare', 'newuidmap', 'useradd', 'busybox'].map((program) => ({ program })),
    );
    user = await makeOrdinaryUser();
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    layout = join(tmpDir(), 'layout');
    await tsbuildIn(root).must([
      'build',
      context,
      '-t',
      'base:latest',
      '-o',
      `type=oci,dest=${layout},tar=false`,
    ]);
    execFileSync('chmod', ['-R', 'a+rX', join(layout, '..')]);
  });

  after(() => user?.remove());

  for (const testCase of [...ORACLE_CASES, ...MORE_CASES]) {
    it(testCase.name, async () => {
      const context = makeContext({ Dockerfile: testCase.dockerfile, ...testCase.files });
      if (testCase.prepare) execFileSync('/bin/sh', ['-ec', testCase.prepare], { cwd: context });
      const owned = tmpDir();
      // Everything of the context is the user's, and keeps its modes.
      const give = 'chmod a+rx "$1" && tar -C "$0" --owner="$2" --group="$2" -cf - . | tar -C "$1" -xpf -';
      execFileSync('/bin/sh', ['-ec', give, context, owned, user!.name]);
      const seen = await Promise.all(
        EXECUTORS.flatMap((executor) => [
          digestOf(testCase, owned, executor, undefined),
          digestOf(testCase, owned, executor, user),
        ]),
      );
      expect(seen[0]).to.match(/^sha256:/);
      expect(new Set(seen), JSON.stringify(seen, null, 2)).to.have.property('size', 1);
    });
  }

  async function digestOf(
    testCase: OracleCase,
    context: string,
    executor: string,
    builder: OrdinaryUser | undefined,
  ): Promise<string> {
    const env = {
      TSBUILD_EXECUTOR: executor,
      TSBUILD_ROOT: builder ? join(builder.home, `store-${executor}`) : join(root, executor),
      SOURCE_DATE_EPOCH: '1700000000',
    };
    const metadata = builder ? join(builder.home, `${executor}.json`) : join(root, `${executor}.json`);
    const args = [
      ...['build', context, ...(testCase.options ?? [])],
      ...['--build-context', `base=oci-layout://${layout}:latest`],
      ...['-t', 'digest', '--metadata-file', metadata, '--progress=plain'],
    ];
    const result = builder
      ? await builder.run([builder.command, ...args], env)
      : await runCommand(TSBUILD, args, { env });
    expect(result.status, `${executor} ${builder ? 'as a user' : 'as root'}: ${result.stderr}`).to.equal(0);
    const written = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, string>;
    return written['containerimage.digest']!;
  }
});
