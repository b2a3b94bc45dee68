import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { copyOfTree, type Output, WORK_LOADS } from '../../benchmarks/work-loads.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, PROJECT, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { startsProcess, straceFlags, type SystemCall, systemCallsOf } from '../kit/system-calls.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** What one tsbuild process does, whatever the machine's speed. Files are those of the context and of the store. */
interface Counts {
  readonly processes: number;
  readonly mounts: number;
  readonly opened: number;
  readonly bytesRead: number;
  readonly bytesHashed: number;
  readonly calls: number;
}

/**
 * Calls by which threads wait and memory grows: their number follows the scheduler and the size of the heap. Loading of
 * programs and libraries follows the distribution.
 */
const UNSTEADY =
  /^(futex|epoll_\w+|sched_\w+|m(map|unmap|protect|advise|remap)|brk|rt_sig\w+|clock_\w+|nanosleep|restart_syscall|prlimit64|rseq|set_robust_list|exit|poll|ppoll|getrandom|sigaltstack)$/;
/** How often threads wake each other follows the garbage collector's turns, whose number follows the speed of the disk. */
const isSteady = ({ name, text }: SystemCall) =>
  !UNSTEADY.test(name) && !/^\(?\d+<anon_inode:\[eventfd\]>/.test(text);
const MOUNTS = /^(mount|fsmount|open_tree|pivot_root)$/;

/** What bin/launch.cjs loads late, and what is not to be asked for by the way; `--require` itself loads `fs/promises`. */
const DISPENSABLE = new Set(
  'child_process net perf_hooks readline timers/promises tls worker_threads zlib'.split(' '),
);

/** Files younger than this are read again, in case they were written in the same tick of the clock. */
const SETTLED_MS = 2_100;

const root = tmpDir();
const contexts = tmpDir();
const contextOf = (letter: string) => join(contexts, letter);
const workLoad = (letter: string) => WORK_LOADS.find((load) => load.letter === letter)!;
/** The limits are what builds with crun cost. */
const environment = { TSBUILD_ROOT: root, TSBUILD_EXECUTOR: 'crun' };
const tsbuild = tsbuildIn(root, environment);
const dest = join(tmpDir(), 'out.tar');

async function countsOf(context: string, output: Output): Promise<Counts> {
  const dir = tmpDir();
  const trace = join(dir, 'trace');
  const hashed = join(dir, 'hashed');
  await mustRun('strace', [...straceFlags(trace), TSBUILD, ...buildArgs(context, output)], {
    env: {
      ...environment,
      NODE_OPTIONS: `--require=${join(PROJECT, 'test/fixtures/count-hashed.cjs')}`,
      HASHED_BYTES_FILE: hashed,
    },
  });
  const calls = systemCallsOf(trace);
  const isOfBuild = ({ text }: SystemCall) => text.includes(`<${root}`) || text.includes(`<${context}`);
  return {
    processes: calls.filter(startsProcess).length,
    mounts: calls.filter(({ name }) => MOUNTS.test(name)).length,
    opened: calls.filter((call) => /^open(at2?)?$/.test(call.name) && call.result! >= 0 && isOfBuild(call))
      .length,
    bytesRead: sumOfResults(
      calls.filter(
        (call) => /^(p?readv?(64|2)?|sendfile|copy_file_range)$/.test(call.name) && isOfBuild(call),
      ),
    ),
    bytesHashed: Number(readFileSync(hashed, 'utf8')),
    calls: calls.filter(isSteady).length,
  };
}

const sumOfResults = (calls: readonly SystemCall[]) =>
  calls.reduce((sum, { result }) => sum + Math.max(0, result ?? 0), 0);

function buildArgs(context: string, output: Output): string[] {
  const target = output === 'archive' ? ['-o', `type=docker,dest=${dest}`] : [];
  return [context, '-t', 'app', '-q', ...target];
}

/** The next build runs the whole program. */
function forgetEnds(): void {
  rmSync(join(root, 'repeats'), { recursive: true, force: true });
}

/** Modules of Node that a build loads, with a file as standard output: for a pipe Node needs its network module. */
async function modulesOf(context: string): Promise<string[]> {
  const loaded = join(tmpDir(), 'loaded');
  await mustRun('sh', ['-c', '"$@" > /dev/null', 'sh', TSBUILD, ...buildArgs(context, 'store')], {
    env: {
      ...environment,
      NODE_OPTIONS: `--require=${join(PROJECT, 'test/fixtures/list-modules.cjs')}`,
      LOADED_MODULES_FILE: loaded,
    },
  });
  return readFileSync(loaded, 'utf8').split('\n');
}

/** The second time everything is there, old enough to be proven by its times, and what the build looked at is kept. */
async function buildTwice(context: string, output: Output): Promise<void> {
  await tsbuild.must(buildArgs(context, output));
  await sleep(SETTLED_MS);
  await tsbuild.must(buildArgs(context, output));
}

/** Fails with the counts that grew. A limit is what was counted, with a margin where the count is not the same each time. */
function expectAtMost(counts: Counts, limits: Counts): void {
  const grown = (Object.keys(limits) as (keyof Counts)[])
    .filter((name) => counts[name] > limits[name])
    .map((name) => `${name}: ${counts[name]}, at most ${limits[name]}`);
  expect(grown, `counts that grew: ${grown.join('; ')}`).to.deep.equal([]);
}

const isForwarding = () => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '1';

/** What the first program that has a rule there makes. Before that a build asks a program for its rules. */
async function makeFirewallTables(): Promise<void> {
  for (const chain of [['nat', 'POSTROUTING'] as const, ['filter', 'FORWARD'] as const]) {
    const rule = (command: string) => ['-t', chain[0], command, chain[1], '-s', '192.0.2.1', '-j', 'ACCEPT'];
    await mustRun('iptables', rule('-A'));
    await mustRun('iptables', rule('-D'));
  }
}

interface Case {
  readonly letter: 'A1' | 'A2' | 'B' | 'C' | 'D';
  readonly limits: Counts;
  /** Where the end of the build before is known, which is then said again. */
  readonly repeated?: Counts;
  /** In place of the work load's own context, which is large. */
  readonly makeContext?: (dir: string) => void;
}

const CASES: readonly Case[] = [
  {
    letter: 'A1',
    limits: { processes: 0, mounts: 0, opened: 13, bytesRead: 6_000, bytesHashed: 22_500, calls: 560 },
    repeated: { processes: 0, mounts: 0, opened: 4, bytesRead: 9_500, bytesHashed: 0, calls: 400 },
  },
  {
    letter: 'A2',
    limits: {
      processes: 0,
      mounts: 0,
      // Each of 100 directories, from which its names are looked up.
      opened: 120,
      bytesRead: 800_000,
      bytesHashed: 800_000,
      calls: 10_950,
    },
    repeated: { processes: 0, mounts: 0, opened: 110, bytesRead: 500_000, bytesHashed: 0, calls: 11_000 },
  },
  {
    letter: 'B',
    limits: { processes: 0, mounts: 0, opened: 16, bytesRead: 16_000, bytesHashed: 28_000, calls: 720 },
    repeated: { processes: 0, mounts: 0, opened: 4, bytesRead: 9_500, bytesHashed: 0, calls: 480 },
  },
  {
    // All processes are the steps', but for slirp4netns where the machine forwards no packets; five of the mounts are made once, the
    // others are the steps'.
    // Where nothing was built before, what other builds are known for is read once. Each empty layer is compared with the
    // first. Networks of other builds on the machine cost some files more.
    letter: 'C',
    limits: {
      processes: isForwarding() ? 10 : 11,
      mounts: 16,
      opened: 335,
      bytesRead: 80_000,
      bytesHashed: 172_000,
      calls: 3_760,
    },
  },
  {
    // Each byte is read for its key, for its layer and for the archive, and hashed the first two times.
    letter: 'D',
    makeContext: (dir) => copyOfTree(dir, 64, 512 * 1024),
    limits: {
      processes: 0,
      mounts: 0,
      opened: 171,
      bytesRead: 104_000_000,
      bytesHashed: 68_000_000,
      calls: 1_800,
    },
  },
];

describe('what a build costs, counted', function () {
  this.timeout(120_000);

  before(async function () {
    needs(this, 'root', ...['crun', 'busybox', 'strace', 'iptables'].map((program) => ({ program })));
    await makeFirewallTables();
    const base = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(base);
    await tsbuild.must([base, '-t', 'bench-base']);
    for (const { letter, makeContext: makeOwn } of CASES) {
      mkdirSync(contextOf(letter));
      (makeOwn ?? workLoad(letter).makeContext)(contextOf(letter));
    }
    await sleep(SETTLED_MS);
  });

  it('loads none of the modules of Node that it does without where nothing changed', async () => {
    const context = contextOf('A1');
    await buildTwice(context, 'store');
    forgetEnds();
    const whole = await modulesOf(context);
    expect(whole).to.include('crypto');
    const repeated = await modulesOf(context);
    for (const modules of [whole, repeated])
      expect(modules.filter((name) => DISPENSABLE.has(name))).to.deep.equal([]);
    expect(repeated).to.not.include('crypto');
  });

  for (const { letter, limits, repeated } of CASES) {
    const { what, state, output } = workLoad(letter);

    it(`stays within the limits of ${letter} (${what})`, async () => {
      const context = contextOf(letter);
      if (state === 'cached') await buildTwice(context, output);
      forgetEnds();
      expectAtMost(await countsOf(context, output), limits);
      if (repeated) expectAtMost(await countsOf(context, output), repeated);
    });
  }
});
