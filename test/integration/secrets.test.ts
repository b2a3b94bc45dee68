import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildBase } from '../kit/base-context.js';
import { PROJECT, runCommand, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { type ContextEntry, makeContext } from '../kit/context.js';
import { filesThatTell, tells } from '../kit/leaks.js';
import { processesWith } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const TOKEN = 'tok/7f3a9c+Secret Value"e1';
const MOUNT = '--mount=type=secret,id=token';
const FILE = '/run/secrets/token';
const URL_ENCODE = `sed 's,/,%2F,g; s,+,%2B,g; s, ,%20,g; s,",%22,g' ${FILE}`;

/** A build that leaves the secret where `place` says; the build must fail and name it. */
interface Leak {
  readonly name: string;
  readonly dockerfile: string;
  readonly place: string | RegExp;
  readonly files?: Readonly<Record<string, ContextEntry>>;
  readonly flags?: readonly string[];
}

const LEAKS: readonly Leak[] = [
  { name: 'a copy of the file', dockerfile: `RUN ${MOUNT} cp ${FILE} /kept`, place: '"/kept"' },
  {
    name: 'a line of a config file',
    dockerfile: `RUN ${MOUNT} mkdir /app && echo "password = $(cat ${FILE})" > /app/settings`,
    place: '"/app/settings"',
  },
  { name: 'base64', dockerfile: `RUN ${MOUNT} base64 ${FILE} > /b`, place: '(base64) in "/b"' },
  ...['a', 'ab', 'user:'].map((before): Leak => ({
    name: `base64 behind "${before}"`,
    dockerfile: `RUN ${MOUNT} (printf ${before}; cat ${FILE}) | base64 > /b`,
    place: '(base64) in "/b"',
  })),
  { name: 'hex', dockerfile: `RUN ${MOUNT} xxd -p ${FILE} > /h`, place: '(hex) in "/h"' },
  {
    name: 'upper-case hex',
    dockerfile: `RUN ${MOUNT} xxd -p ${FILE} | tr -d '\\n' | tr a-f A-F > /h`,
    place: '(hex) in "/h"',
  },
  {
    name: 'a URL',
    dockerfile: `RUN ${MOUNT} (printf https://x/?t=; ${URL_ENCODE}) > /url`,
    place: '(URL-encoded) in "/url"',
  },
  {
    name: 'a variable of the environment',
    dockerfile: `RUN ${MOUNT},env=TOKEN env > /environment`,
    place: '"/environment"',
  },
  {
    name: 'behind a megabyte, across the border of two reads',
    dockerfile: `RUN ${MOUNT} (head -c 1048064 /dev/zero; cat ${FILE}) > /big`,
    place: '"/big"',
  },
  {
    name: 'a file that was only appended to',
    dockerfile: `RUN echo start > /log\nRUN ${MOUNT} cat ${FILE} >> /log`,
    place: '"/log"',
  },
  {
    name: 'the target of a link',
    dockerfile: `RUN ${MOUNT} ln -s "$(cat ${FILE})" /link`,
    place: /secret "token"/,
  },
  {
    name: 'a name',
    dockerfile: `RUN ${MOUNT} mkdir -p "/d/$(cat ${FILE})"`,
    place: /secret "token"/,
  },
  {
    name: 'a file of another user',
    dockerfile: `USER app\nRUN ${MOUNT},uid=1000 cat ${FILE} > /tmp/.netrc`,
    place: '"/tmp/.netrc"',
  },
  {
    name: 'a stage that the image is not made of',
    dockerfile: `FROM base AS other\nRUN ${MOUNT} cp ${FILE} /kept && echo > /public\nFROM base\nCOPY --from=other /public /`,
    place: '"/kept"',
  },
  {
    name: 'the way through a cache mount',
    dockerfile: `RUN ${MOUNT} --mount=type=cache,id=way,target=/c cp ${FILE} /c/t\nRUN --mount=type=cache,id=way,target=/c cp /c/t /kept; rm /c/t`,
    place: '"/kept"',
  },
  {
    name: 'COPY of the file itself',
    dockerfile: 'COPY . /src/',
    files: { '.env': `TOKEN=${TOKEN}\n` },
    place: '"/src/.env"',
  },
  {
    name: 'a heredoc',
    dockerfile: `COPY <<'EOF' /etc/token\n${TOKEN}\nEOF`,
    place: '>>> COPY <<',
  },
  {
    name: 'ENV from a build argument',
    dockerfile: 'ARG T\nENV TOKEN=$T',
    flags: ['--build-arg', `T=${TOKEN}`],
    place: 'config at config.Env[1] (TOKEN)',
  },
  {
    name: 'a build argument in the history',
    dockerfile: 'ARG T\nRUN true',
    flags: ['--build-arg', `T=${TOKEN}`],
    place: /config at history\[\d+\]\.created_by/,
  },
  {
    name: 'a label',
    dockerfile: 'RUN true',
    flags: ['--label', `build=${TOKEN}`],
    place: 'config at config.Labels.build',
  },
  { name: 'CMD', dockerfile: `CMD ["run", ${JSON.stringify(TOKEN)}]`, place: 'config at config.Cmd[1]' },
  {
    name: 'an annotation',
    dockerfile: 'RUN true',
    flags: ['--annotation', `note=${TOKEN}`],
    place: 'the annotations at note',
  },
];

/** A step that shows the secret; the build goes on, and nobody sees it. */
const SHOWN: readonly (readonly [name: string, script: string])[] = [
  ['printed', `cat ${FILE}`],
  ['on standard error', `cat ${FILE} >&2`],
  ['byte by byte', `for i in $(seq 1 ${TOKEN.length}); do printf "$(cut -c $i ${FILE})"; sleep 0.01; done`],
  ['in two parts', `head -c 5 ${FILE}; sleep 0.2; tail -c +6 ${FILE}`],
  ['by set -x', `set -x; test "$(cat ${FILE})" = y || true`],
  ['in base64', `base64 ${FILE}`],
  ['in base64 with a user', `(printf user:; cat ${FILE}) | base64`],
  ['in hex', `xxd -p ${FILE}`],
  ['in a URL', URL_ENCODE],
  [
    'in a long line',
    `head -c 70000 /dev/zero | tr '\\0' x; cat ${FILE}; head -c 70000 /dev/zero | tr '\\0' y`,
  ],
];

describe('SECURITY.md', () => {
  it('promises as many ways as there are here', () => {
    const text = readFileSync(join(PROJECT, 'SECURITY.md'), 'utf8');
    expect(text).to.contain(
      `| ${LEAKS.length} ways to leave a secret in an image, ${SHOWN.length} ways to show it, with each runtime |`,
    );
  });
});

for (const executor of ['crun', 'runc', 'sandbox'] as const) testSecrets(executor);

function testSecrets(executor: 'crun' | 'runc' | 'sandbox'): void {
  describe(`secrets with ${executor}`, function () {
    this.timeout(60_000);
    const root = tmpDir();
    const tsbuild = tsbuildIn(root, { TSBUILD_EXECUTOR: executor });
    const file = join(tmpDir(), 'token');
    const secret = ['--secret', `id=token,src=${file}`];

    before(async function () {
      needs(
        this,
        'builder',
        { program: executor === 'sandbox' ? 'unshare' : executor },
        { program: 'busybox' },
      );
      await buildBase(tsbuild);
      writeFileSync(file, `${TOKEN}\n`);
    });

    const build = (dockerfile: string, flags: readonly string[] = [], files: Leak['files'] = {}) =>
      tsbuild.run([makeContext({ Dockerfile: `FROM base\n${dockerfile}\n`, ...files }), ...secret, ...flags]);

    describe('that would stay', () => {
      afterEach(() => expect(filesThatTell(root, TOKEN)).to.deep.equal([]));

      for (const { name, dockerfile, place, files, flags } of LEAKS) {
        it(`in ${name}: the build fails and says where`, async () => {
          const result = await build(dockerfile, flags, files);
          expect(result.status, result.stderr).to.equal(1);
          expect(result.stderr)
            .to.contain('[SECRET_LEAKED, exit status 1')
            .and.to.match(/secret "token"/);
          if (typeof place === 'string') expect(result.stderr).to.contain(place);
          else expect(result.stderr).to.match(place);
          // The excerpt shows what the Dockerfile itself says.
          const said = result.stderr.replace(/^-{20}\n[\s\S]*?^-{20}\n/m, '');
          expect(tells(said, TOKEN), said).to.equal(false);
        });
      }
    });

    describe('that a step shows', () => {
      for (const mode of ['plain', 'tty', 'rawjson']) {
        it(`is masked in the display "${mode}" and in the log file`, async () => {
          // Long enough for the terminal's display to draw what a running step says.
          const linger = mode === 'tty' ? '; sleep 0.3' : '';
          const steps = SHOWN.map(([name, script]) => `RUN ${MOUNT} : ${name} ${mode}; ${script}${linger}`);
          const result = await build(steps.join('\n'), [`--progress=${mode}`]);
          expect(result.status).to.equal(0);
          const shown =
            mode === 'rawjson'
              ? result.stderr.replace(/"data":"([^"]*)"/g, (_, data: string) =>
                  Buffer.from(data, 'base64').toString(),
                )
              : result.stderr;
          // The names of the steps hold the URL as the Dockerfile has it.
          expect(
            shown.split('\n').filter((line) => tells(line, TOKEN) && !line.includes('RUN')),
          ).to.deep.equal([]);
          expect(shown).to.contain('***');
          expect(filesThatTell(join(root, 'logs'), TOKEN)).to.deep.equal([]);
        });
      }

      it('is masked in the lines of a failure', async () => {
        const result = await build(`RUN ${MOUNT} cat ${FILE}; exit 3`);
        expect(result.status).to.equal(1);
        expect(tells(result.stderr, TOKEN), result.stderr).to.equal(false);
      });
    });

    describe('of a step', () => {
      it('lies in memory only, and in nobody’s arguments or environment but the step’s', async () => {
        const script = [
          `grep -q " ${FILE} tmpfs " /proc/mounts && echo in-memory`,
          // Long enough for the test to look at the machine.
          'sleep 1',
        ].join('; ');
        const context = makeContext({
          Dockerfile: `FROM base\nRUN ${MOUNT} --mount=type=secret,id=token,env=TOKEN ${script}\n`,
        });
        const running = tsbuild.run([context, '--secret', 'id=token,env=GIVEN'], { env: { GIVEN: TOKEN } });
        await new Promise((resolve) => setTimeout(resolve, 900));
        expect(filesThatTell(root, TOKEN)).to.deep.equal([]);
        expect(processesWith(TOKEN)).to.deep.equal([]);
        const result = await running;
        expect(result.status, result.stderr).to.equal(0);
        expect(result.stderr).to.contain('in-memory');
      });

      it('of a pipe serves two steps', async () => {
        const context = makeContext({
          Dockerfile: `FROM base\nRUN ${MOUNT} wc -c < ${FILE} > /a\nRUN ${MOUNT} wc -c < ${FILE} | cmp - /a\n`,
        });
        const script = `exec "$0" "$1" --secret id=token,src=<(printf piped-secret)`;
        const result = await runCommand('bash', ['-c', script, TSBUILD, context], {
          env: { TSBUILD_ROOT: root, TSBUILD_EXECUTOR: executor },
        });
        expect(result.status, result.stderr).to.equal(0);
      });
    });

    describe('in the cache export', () => {
      for (const [what, script, place] of [
        ['a file of a cache mount', `mkdir -p /c/d && cp ${FILE} /c/d/f`, '"/d/f" of the cache mount "way"'],
        ['a link of a cache mount', `ln -sf "$(cat ${FILE})" /c/l`, '"/l" of the cache mount "way"'],
        [
          'a file whose name is not UTF-8',
          `cp ${FILE} "$(printf '/c/caf\\351')"`,
          '"/caf\ufffd" of the cache mount "way"',
        ],
        ['base64 in a cache mount', `base64 ${FILE} > /c/b`, '(base64) in "/b" of the cache mount "way"'],
      ] as const) {
        it(`${what} fails the build before anything is sent; without it, nothing is looked at`, async () => {
          const dest = join(tmpDir(), 'cache');
          const dockerfile = `RUN ${MOUNT} --mount=type=cache,id=way,target=/c rm -rf /c/*; ${script}`;
          const to = (more: string) => ['--cache-to', `type=local,dest=${dest},mode=max${more}`];
          const result = await build(dockerfile, to(',mounts=all'));
          expect([result.status, existsSync(dest)], result.stderr).to.deep.equal([1, false]);
          expect(result.stderr)
            .to.contain('[SECRET_LEAKED')
            .and.to.contain(place)
            .and.to.contain('in the cache');
          expect((await build(dockerfile, to(''))).status).to.equal(0);
          expect(filesThatTell(dest, TOKEN)).to.deep.equal([]);
          const warned = await build(dockerfile, [...to(',mounts=all'), '--secret-scan=warn']);
          expect([warned.status, warned.stderr.includes(place)], warned.stderr).to.deep.equal([0, true]);
        });
      }
    });

    describe('of a proxy', () => {
      const PASSWORD = 'pr0xy/Pa%ss-77';
      const url = `http://someone:${encodeURIComponent(PASSWORD)}@127.0.0.1:9/`;
      const tellsPassword = (text: string) =>
        tells(text, PASSWORD) || text.includes(encodeURIComponent(PASSWORD));

      for (const [what, flags, env] of [
        ['build argument', ['--build-arg', `HTTP_PROXY=${url}`, '--build-arg', `https_proxy=${url}`], {}],
        [
          'variable',
          ['--build-arg', 'HTTP_PROXY', '--build-arg', 'HTTPS_PROXY'],
          { HTTP_PROXY: url, HTTPS_PROXY: url },
        ],
      ] as const) {
        it(`a password in a ${what} is in no output, log, history or config`, async () => {
          const build = (name: string, lines: string, ...more: string[]) =>
            tsbuild.run(
              [makeContext({ Dockerfile: `FROM base\n${lines}\n` }), '-t', name, ...flags, ...more],
              {
                env: { NO_PROXY: '', ...env },
              },
            );
          for (const mode of ['plain', 'rawjson']) {
            const good = await build(
              'proxied',
              `RUN : ${what} ${mode}; env | grep -i _proxy; test -n "$HTTP_PROXY" -a -n "$https_proxy"`,
              `--progress=${mode}`,
            );
            expect(good.status, good.stderr).to.equal(0);
            const shown = good.stderr.replace(/"data":"([^"]*)"/g, (_, data: string) =>
              Buffer.from(data, 'base64').toString(),
            );
            expect(shown).to.contain('someone').and.to.contain('***');
            expect(tellsPassword(shown), shown).to.equal(false);
          }
          for (const lines of [
            'ADD http://example.invalid/x /x',
            'FROM registry.invalid/x',
            'RUN env; exit 3',
          ]) {
            const bad = await build('bad', lines, '--debug', '--explain');
            expect(bad.status, bad.stderr).to.not.equal(0);
            expect(tellsPassword(bad.stderr + bad.stdout), bad.stderr).to.equal(false);
          }
          const { stdout } = await tsbuild.must(['inspect', 'proxied']);
          expect(tellsPassword(stdout)).to.equal(false);
          expect(filesThatTell(root, PASSWORD)).to.deep.equal([]);
          expect(filesThatTell(root, encodeURIComponent(PASSWORD))).to.deep.equal([]);
        });
      }
    });

    it('a password in the URL of a context, of ADD or of a base is in no output and no file', async () => {
      const PASSWORD = 'urlPassw0rd-5521';
      const at = `someone:${PASSWORD}@127.0.0.1:9`;
      const builds = [
        [`http://${at}/context.tar.gz`],
        [`http://${at}/repository.git#main`],
        [`https://${at}/repository.git`],
        [makeContext({ Dockerfile: 'FROM scratch\n' }), '--build-context', `x=http://${at}/x.tar`],
        [
          makeContext({ Dockerfile: 'FROM base\nARG WHERE\nADD $WHERE /x\n' }),
          '--build-arg',
          `WHERE=http://${at}/x`,
        ],
        [
          makeContext({ Dockerfile: 'FROM base\nARG WHERE\nADD $WHERE /x\n' }),
          '--build-arg',
          `WHERE=http://${at}/x.git`,
        ],
        [
          makeContext({ Dockerfile: 'FROM base\nCOPY --from=x / /\n' }),
          '--build-context',
          `x=http://${at}/x.git`,
        ],
      ];
      for (const args of builds) {
        for (const mode of ['plain', 'rawjson']) {
          const result = await tsbuild.run([...args, '--debug', `--progress=${mode}`]);
          if (args.length !== 3 || !args[2]!.startsWith('x=http') || args[0]!.includes('.git'))
            expect(result.status, args.join(' ')).to.not.equal(0);
          const shown = result.stderr.replace(/"data":"([^"]*)"/g, (_, data: string) =>
            Buffer.from(data, 'base64').toString(),
          );
          expect(tells(shown + result.stdout, PASSWORD), `${args.join(' ')}\n${shown}`).to.equal(false);
        }
      }
      expect(filesThatTell(root, PASSWORD)).to.deep.equal([]);
    });

    // Last, since they leave the secret in the store.
    describe('with --secret-scan', () => {
      it('--secret-scan=warn builds and names the file in its step, =off says nothing', async () => {
        const warned = await build(`RUN ${MOUNT} cp ${FILE} /kept-warn`, ['--secret-scan=warn']);
        expect(warned.status).to.equal(0);
        expect(warned.stderr).to.match(
          /#\d+ warning: secret "token" in "\/kept-warn" would stay in the image/,
        );
        const silent = await build(`RUN ${MOUNT} cp ${FILE} /kept-off`, ['--secret-scan=off']);
        expect(silent.status).to.equal(0);
        expect(silent.stderr).to.not.contain('would stay');
        expect((await build('RUN true', ['--secret-scan=maybe'])).status).to.equal(2);
      });
    });
  });
}
