import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { openPty } from '../../src/worker/sys/pty.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

for (const executor of ['crun', 'runc', 'sandbox'] as const) {
  describe(`tsbuild run with ${executor}`, function () {
    this.timeout(60_000);
    const root = tmpDir();
    const env = { TSBUILD_ROOT: root, TSBUILD_EXECUTOR: executor };
    const tsbuild = tsbuildIn(root, env);

    before(async function () {
      needs(
        this,
        'builder',
        { program: executor === 'sandbox' ? 'unshare' : executor },
        { program: 'busybox' },
      );
      const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
      makeBaseRootfs(context);
      await tsbuild.must([context, '-t', 'base']);
    });

    const output = async (script: string, ...flags: string[]) =>
      (await tsbuild.must(['run', '--rm', ...flags, 'base', 'sh', '-c', script])).stdout;

    it('--tmpfs: memory with the size, mode and flags that were asked for', async () => {
      const script =
        'for d in /a /b /root; do grep " $d tmpfs" /proc/mounts | cut -d" " -f4 | tr , "\\n" | grep -E "^(ro|rw|noexec|size=.*|nosuid)$" | sort | tr "\\n" " "; stat -c %a $d; done; ls /root';
      const flags = ['--tmpfs', '/a:size=1m,mode=1700', '--tmpfs', '/b:exec,ro', '--tmpfs=/root'];
      const [a, b, hidden, ...listed] = (await output(script, '--read-only', ...flags)).split('\n');
      expect(a).to.equal('noexec nosuid rw size=1024k 1700');
      expect(b).to.match(/^nosuid ro (?:size=\S+ )?1777$/);
      expect(hidden).to.match(/^noexec nosuid rw (?:size=\S+ )?\d+$/);
      expect(listed).to.deep.equal(['']);
      for (const wrong of ['a', '/a:size=big', '/a:fly', '/a:ro:rw']) {
        const result = await tsbuild.run(['run', '--tmpfs', wrong, 'base', 'true']);
        expect([result.status, result.stderr.includes(`--tmpfs "${wrong}"`)]).to.deep.equal([2, true]);
      }
    });

    it('runs what a build just printed the ID of, with a name or without one', async () => {
      const context = makeContext({ Dockerfile: 'FROM base\nCMD ["echo", "built"]\n' });
      const id = (await tsbuild.must([context, '-q'])).stdout.trim();
      for (const name of [id, id.slice('sha256:'.length, 19)])
        expect((await tsbuild.must(['run', name])).stdout, name).to.equal('built\n');
      const unknown = await tsbuild.run(['run', `sha256:${'0'.repeat(64)}`]);
      expect([unknown.status, unknown.stderr.includes('IMAGE_NOT_FOUND')]).to.deep.equal([1, true]);
      // What could be a name as well is asked for at its registry, whatever that says.
      const name = await tsbuild.run(['run', 'deadbeefcafe']);
      expect(name.status).to.be.above(0);
      expect(name.stderr).not.to.include('is not in the local store');
    });

    it('-i: the program reads standard input; without it, nothing', async () => {
      const cat = ['base', 'cat'];
      expect((await tsbuild.must(['run', '-i', ...cat], { input: 'typed\n' })).stdout).to.equal('typed\n');
      expect((await tsbuild.must(['run', ...cat], { input: 'typed\n' })).stdout).to.equal('');
    });

    it('-t: a terminal where there is one, and a word where there is none', async () => {
      const shown = await onTerminal(
        ['run', '-it', 'base', 'sh', '-c', 'test -t 0 && echo terminal; stty size; exit 6'],
        env,
      );
      expect(shown.text).to.match(/^terminal\r?\n30 90\r?\n/);
      expect(shown.status).to.equal(6);
      const without = await onTerminal(['run', 'base', 'sh', '-c', 'test -t 0 || echo none'], env);
      expect(without.text).to.equal('none\r\n');
      const input = await tsbuild.run(['run', '-it', 'base', 'true']);
      expect([input.status, input.stderr]).to.satisfy(
        ([status, text]: [number, string]) => status === 2 && text.includes('are not a terminal'),
      );
      const noted = await tsbuild.must(['run', '-t', 'base', 'sh', '-c', 'test -t 1 || echo none']);
      expect(noted.stdout).to.equal('none\n');
      expect(noted.stderr).to.contain('-t has no effect');
    });

    it('--init: orphans are waited for, and the exit code is the program’s', async function () {
      needs(this, { program: 'tini-static' });
      // sleep, as the first process, waits for nothing; the observer sees what has become of the orphan.
      const observer =
        '(sleep 0.6; grep -c "^State:.Z" /proc/[0-9]*/status | grep -c ":1$"; head -c 4 /proc/1/comm)';
      const script = `${observer} & (sleep 0.1 &); exec sleep 1.2`;
      expect(await output(script)).to.equal('1\nslee');
      expect(await output(script, '--init')).to.equal('0\ndock');
      expect((await tsbuild.run(['run', '--init', 'base', 'sh', '-c', 'exit 7'])).status).to.equal(7);
    });

    it('hands the signal that ends it on to the program', async function () {
      needs(this, { program: 'tini-static' });
      const script = 'trap "echo asked; exit 9" TERM; echo ready; while :; do sleep 0.05; done';
      for (const flags of [[], ['--init']]) {
        const child = spawn(TSBUILD, ['run', ...flags, 'base', 'sh', '-c', script], {
          env: { ...process.env, ...env },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let text = '';
        child.stdout.on('data', (data: Buffer) => {
          text += data.toString();
          if (text === 'ready\n') child.kill('SIGTERM');
        });
        const [status] = (await once(child, 'close')) as [number];
        expect([status, text]).to.deep.equal([9, 'ready\nasked\n']);
      }
    });

    it('-p: a port of the host leads to the program', async () => {
      const serve = 'mkdir /w; echo from inside > /w/f; httpd -p 80 -h /w; sleep 20';
      const child = spawn(TSBUILD, ['run', '-p', '127.0.0.1::80', 'base', 'sh', '-c', serve], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      try {
        const port = await new Promise<number>((resolve, reject) => {
          let text = '';
          child.stderr.on('data', (data: Buffer) => {
            text += data.toString();
            const match = /port 80 is (\d+) of the host/.exec(text);
            if (match) resolve(Number(match[1]));
          });
          child.once('exit', () => reject(new Error(text)));
        });
        expect(await fetchText(port)).to.equal('from inside\n');
      } finally {
        child.kill('SIGINT');
        child.kill('SIGINT');
        await once(child, 'exit');
      }
    });

    it('-p: says where it cannot work', async () => {
      for (const [flags, message] of [
        [['--network=none', '-p', '80'], 'nothing reaches the program'],
        [['--network=host', '-p', '80'], 'its ports are the host’s already'],
        [['-p', '53:53/udp'], 'only TCP'],
        [['-p', '80-90:80-90'], 'is not [ADDRESS:][PORT:]PORT'],
        [['-p', '192.0.2.1:0:80'], 'cannot listen on 192.0.2.1'],
      ] as const) {
        const result = await tsbuild.run(['run', ...flags, 'base', 'true']);
        expect([result.status, result.stderr.includes(message)], result.stderr).to.deep.equal([2, true]);
      }
    });
  });
}

/** The program's answer, once it listens. */
async function fetchText(port: number): Promise<string> {
  for (let i = 0; ; i++) {
    try {
      return await new Promise((resolve, reject) => {
        get(`http://127.0.0.1:${port}/f`, (response) => {
          let text = '';
          response.on('data', (data: Buffer) => (text += data.toString()));
          response.on('end', () => resolve(text)).on('error', reject);
        }).on('error', reject);
      });
    } catch (error) {
      if (i === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function onTerminal(args: string[], env: NodeJS.ProcessEnv) {
  using pty = openPty({ columns: 90, rows: 30 });
  const end = pty.programEnd;
  const child = spawn('setsid', ['--ctty', TSBUILD, ...args], {
    stdio: [end, end, end],
    env: { ...process.env, ...env },
  });
  pty.closeProgramEnd();
  let text = '';
  pty.stream.on('data', (data: Buffer) => (text += data.toString()));
  const [[status]] = (await Promise.all([once(child, 'exit'), pty.ended])) as [[number], void];
  return { status, text };
}
