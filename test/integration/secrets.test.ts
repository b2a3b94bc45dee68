import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildBase } from '../kit/base-context.js';
import { tsbuildIn } from '../kit/cli.js';
import { type ContextEntry, makeContext } from '../kit/context.js';
import { filesThatTell, tells } from '../kit/leaks.js';
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

describe('secrets', function () {
  this.timeout(60_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);
  const file = join(tmpDir(), 'token');
  const secret = ['--secret', `id=token,src=${file}`];

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'busybox' });
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
        expect(shown.split('\n').filter((line) => tells(line, TOKEN) && !line.includes('RUN'))).to.deep.equal(
          [],
        );
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
      const result = await running;
      expect(result.status, result.stderr).to.equal(0);
      expect(result.stderr).to.contain('in-memory');
    });

    it('of a pipe serves two steps', async () => {
      const context = makeContext({
        Dockerfile: `FROM base\nRUN ${MOUNT} wc -c < ${FILE} > /a\nRUN ${MOUNT} wc -c < ${FILE} | cmp - /a\n`,
      });
      const script = `exec "$0" "$1" --secret id=token,src=<(printf piped-secret)`;
      const { runCommand, TSBUILD } = await import('../kit/cli.js');
      const result = await runCommand('bash', ['-c', script, TSBUILD, context], {
        env: { TSBUILD_ROOT: root },
      });
      expect(result.status, result.stderr).to.equal(0);
    });
  });

  // Last, since they leave the secret in the store.
  describe('with --secret-scan', () => {
    it('--secret-scan=warn builds and names the file in its step, =off says nothing', async () => {
      const warned = await build(`RUN ${MOUNT} cp ${FILE} /kept-warn`, ['--secret-scan=warn']);
      expect(warned.status).to.equal(0);
      expect(warned.stderr).to.match(/#\d+ warning: secret "token" in "\/kept-warn" would stay in the image/);
      const silent = await build(`RUN ${MOUNT} cp ${FILE} /kept-off`, ['--secret-scan=off']);
      expect(silent.status).to.equal(0);
      expect(silent.stderr).to.not.contain('would stay');
      expect((await build('RUN true', ['--secret-scan=maybe'])).status).to.equal(2);
    });
  });
});
