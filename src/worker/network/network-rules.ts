import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type FirewallRule, InsertedRules } from '../sys/nftables.js';
import { findProgram } from '../sys/programs.js';
import { type SpawnedProgram, spawnProgram } from '../sys/spawn.js';

/** The name of the program without which the firewall is not changed. */
export const FIREWALL_PROGRAM = 'iptables-restore';

export interface NetworkRulesOptions {
  readonly device: string;
  /** What all networks' devices begin with: those of others are not reached. */
  readonly devicePrefix: string;
  /** Of the process's end of the device. */
  readonly address: string;
  /** Takes what a program reads and says. */
  readonly directory: string;
  /** A descriptor that a program which changes rules has as well, also when this process is killed: a sweep must not come before its end. */
  readonly lock: number;
}

/**
 * The firewall's rules for one network. Where the firewall is that of nf_tables, this process tells the kernel itself, which takes
 * 1 ms. iptables-restore does it where that cannot be, as where a table is not there yet; it says what is missing.
 */
export class NetworkRules {
  readonly #options: NetworkRulesOptions;
  readonly #rules: readonly FirewallRule[];
  #inserted: InsertedRules | undefined;
  /** The program that adds the rules, while it runs. */
  #adding: SpawnedProgram | undefined;
  #mayBeThere = false;

  constructor(options: NetworkRulesOptions) {
    this.#options = options;
    this.#rules = rulesOf(options);
  }

  /** @throws Error of the program */
  async add(): Promise<void> {
    try {
      if (isNftables()) this.#inserted = new InsertedRules(this.#rules);
    } catch {
      // The program makes what is not there.
    }
    this.#adding = this.#inserted ? undefined : this.#restore('-I');
    this.#mayBeThere = true;
    if (!this.#adding) return;
    const status = await this.#adding.exitCode;
    this.#adding = undefined;
    if (status !== 0)
      throw new Error(`${FIREWALL_PROGRAM}: ${readFileSync(this.#errors(), 'utf8').trim().split('\n')[0]}`);
  }

  /**
   * Others may have deleted some of them, all of a table even; then those go that are left.
   * @throws Error where they may be there still
   */
  async remove(): Promise<void> {
    if (!this.#mayBeThere) return;
    try {
      const inserted = this.#takeInserted();
      if (inserted) return await inserted.delete();
      if ((await this.#restore('-D').exitCode) === 0) return;
    } catch {
      // The other way asks what there is.
    }
    await removeRulesOf(this.#options.device);
  }

  /** Where the process must end now. @throws Error where they may be there still */
  abandon(): void {
    this.#adding?.killAndWait();
    if (!this.#mayBeThere) return;
    try {
      const inserted = this.#takeInserted();
      if (inserted) return inserted.deleteNow();
    } catch {
      // The other way asks what there is.
    }
    const saved = mustNow('iptables-save', []);
    mustNow(FIREWALL_PROGRAM, restoreArguments(), lines(deletions(saved, this.#options.device)));
  }

  #takeInserted(): InsertedRules | undefined {
    const inserted = this.#inserted;
    this.#inserted = undefined;
    return inserted;
  }

  /** Its end is known sooner than that of a child of Node's, and it does not copy this process. */
  #restore(command: '-I' | '-D'): SpawnedProgram {
    const rules = join(this.#options.directory, 'rules');
    writeFileSync(rules, lines(changes(command, this.#rules)));
    const output = openSync(this.#errors(), 'w');
    try {
      const descriptors = [output, output, this.#options.lock];
      return spawnProgram(findProgram(FIREWALL_PROGRAM)!, restoreArguments(rules), { env: ENV, descriptors });
    } finally {
      closeSync(output);
    }
  }

  #errors(): string {
    return join(this.#options.directory, 'errors');
  }
}

/** Deletes what is left of the rules for a device, also those of a process that was killed. @throws Error where some may be there still */
export async function removeRulesOf(device: string): Promise<void> {
  const saved = await must('iptables-save', []);
  await must(FIREWALL_PROGRAM, restoreArguments(), lines(deletions(saved, device)));
}

/**
 * Whether the machine's iptables keeps its rules in nf_tables, and not where the kernel had them before: both can be there, and each has
 * rules of its own that all packets pass.
 */
function isNftables(): boolean {
  return basename(realpathSync(findProgram(FIREWALL_PROGRAM)!)) === 'xtables-nft-multi';
}

/**
 * The table `nat` only sees first packets of connections, so that the state in its rule matches all of them. It is there so that
 * iptables-restore asks for that module before it changes anything: for the second table it would open a socket for the question, and
 * when a socket is closed after a deletion, the kernel waits 10 to 20 ms until all that read the rules have ended.
 */
function rulesOf({ device, devicePrefix, address }: NetworkRulesOptions): FirewallRule[] {
  const comment = device;
  const own = { device };
  const toOthers = { device: `${devicePrefix}+`, not: true };
  const forward = { table: 'filter', chain: 'FORWARD', comment } as const;
  return [
    {
      table: 'nat',
      chain: 'POSTROUTING',
      source: address,
      output: { ...own, not: true },
      states: ['NEW', 'RELATED'],
      comment,
      target: 'MASQUERADE',
    },
    // Each goes above the one before it.
    { ...forward, output: own, target: 'DROP' },
    { ...forward, input: device, output: toOthers, target: 'ACCEPT' },
    { ...forward, output: own, states: ['RELATED', 'ESTABLISHED'], target: 'ACCEPT' },
  ];
}

/** Input of iptables-restore. Rules go to the top, so that a policy of others does not come first. */
function changes(command: '-I' | '-D', rules: readonly FirewallRule[]): string[] {
  return ['nat', 'filter'].flatMap((table) => [
    `*${table}`,
    ...rules.filter((rule) => rule.table === table).map((rule) => `${command} ${rule.chain} ${textOf(rule)}`),
    'COMMIT',
  ]);
}

function textOf({ source, input, output, states, comment, target }: FirewallRule): string {
  return [
    ...(source === undefined ? [] : [`-s ${source}/32`]),
    ...(input === undefined ? [] : [`-i ${input}`]),
    ...(output ? [`${output.not ? '! ' : ''}-o ${output.device}`] : []),
    ...(states ? [`-m conntrack --ctstate ${states.join(',')}`] : []),
    `-m comment --comment ${comment} -j ${target}`,
  ].join(' ');
}

/** Input of iptables-restore. A table is restored whole or not at all, so it names only rules that are there. */
function deletions(saved: string, device: string): string[] {
  return saved.split('\n').flatMap((line) => {
    if (line.startsWith('*') || line === 'COMMIT') return [line];
    return line.includes(` --comment ${device} `) ? [line.replace(/^-A/, '-D')] : [];
  });
}

/** What the program prints. @throws Error where it fails */
function must(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: ENV });
    let output = '';
    child.on('error', reject);
    // Where no descriptors were left for its pipes, it has none.
    if (child.pid === undefined) return;
    child.stdout.on('data', (data: Buffer) => (output += data.toString('utf8')));
    child.on('close', (status) =>
      status === 0 ? resolve(output) : reject(new Error(`${program}: exit status ${status}`)),
    );
    child.stdin.on('error', () => undefined).end(input);
  });
}

/** The same where the process cannot wait. */
function mustNow(program: string, args: readonly string[], input = ''): string {
  const { error, status, stdout } = spawnSync(program, args, { input, env: ENV, encoding: 'utf8' });
  if (status !== 0) throw error ?? new Error(`${program}: exit status ${status}`);
  return stdout;
}

const ENV = { PATH: '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

/** What follows on `--wait` would be taken for its seconds. */
const restoreArguments = (...files: readonly string[]) => ['--noflush', ...files, '--wait'];

function lines(list: readonly string[]): string {
  return list.join('\n') + '\n';
}
