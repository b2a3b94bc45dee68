import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { lockDirectory } from '../sys/flock.js';
import { inNetworkNamespace } from '../sys/network-namespace.js';
import { findProgram } from '../sys/programs.js';
import { readRoutes, type Route, uplinkMtu } from './host-network.js';
import type { OpenNetwork } from './network.js';
import { resolvConf } from './resolv-conf.js';

/** One directory for each network of the machine, by its number; its process holds a lock on it. */
const NETWORKS = '/run/tsbuild/networks';

/** First two bytes of addresses; the first that no route of the host uses is taken. Each network has four addresses. */
const RANGES = [
  [10, 231],
  [10, 247],
  [172, 30],
  [192, 168],
] as const;
const MOST_NETWORKS = 16_384;

const DEVICE_PREFIX = 'tsbuild';

interface Numbered {
  readonly number: number;
  readonly lock: number;
}

interface Addresses {
  readonly device: string;
  readonly host: string;
  readonly process: string;
}

/** Why the machine offers no such network to this process; undefined where it does. */
export function vethObstacle(): string | undefined {
  for (const program of ['ip', 'iptables-restore']) {
    if (findProgram(program) === undefined) return `the program "${program}" is missing`;
  }
  if (readForwarding() !== '1') return 'the sysctl net.ipv4.ip_forward is 0';
  return undefined;
}

/**
 * Connects a network namespace to the world: a pair of virtual devices, and translation of its address by the firewall. Takes
 * the next free number of the machine.
 * @throws Error of the program that failed
 */
export async function openVethNetwork(namespace: string): Promise<OpenNetwork> {
  const numbered = takeNumber();
  const addresses = addressesOf(numbered.number);
  try {
    const mtu = uplinkMtu();
    run(
      'ip',
      ['-batch', '-'],
      [
        `link add ${addresses.device} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${namespace}`,
        `addr add ${addresses.host}/30 dev ${addresses.device}`,
        `link set ${addresses.device} up`,
      ],
    );
    inNetworkNamespace(namespace, () =>
      run(
        'ip',
        ['-batch', '-'],
        [
          `addr add ${addresses.process}/30 dev eth0`,
          'link set eth0 up',
          `route add default via ${addresses.host}`,
        ],
      ),
    );
    run('iptables-restore', ['--noflush', '--wait'], additions(addresses), numbered.lock);
  } catch (error) {
    await release(numbered, addresses.device);
    throw error;
  }
  return {
    process: { namespace },
    resolvConf: resolvConf('routed'),
    hostAddress: addresses.host,
    close: () => release(numbered, addresses.device),
  };
}

const ofThisProcess = new Set<Numbered>();

/** Takes away the networks of this process, which must end now. */
export function abandonNetworks(): void {
  for (const numbered of ofThisProcess) {
    const device = deviceOf(numbered.number);
    const saved = attemptNow('iptables-save', []);
    attemptNow('iptables-restore', ['--noflush', '--wait'], lines(deletions(saved, device)));
    attemptNow('ip', ['link', 'delete', device]);
    forget(numbered);
  }
}

/** Takes away what processes that no longer live left on the host. */
export async function sweepNetworks(): Promise<void> {
  for (const name of listNetworks()) {
    const lock = lockDirectory(join(NETWORKS, name));
    if (lock === undefined) continue;
    await release({ number: Number(name), lock }, deviceOf(Number(name)));
  }
}

/** The kernel takes 20 ms for each of the two, so they go on side by side. */
async function release(numbered: Numbered, device: string): Promise<void> {
  await Promise.all([deleteRules(device), attempt('ip', ['link', 'delete', device])]);
  forget(numbered);
}

function forget(numbered: Numbered): void {
  ofThisProcess.delete(numbered);
  rmdirSync(join(NETWORKS, String(numbered.number)));
  closeSync(numbered.lock);
}

async function deleteRules(device: string): Promise<void> {
  const saved = await attempt('iptables-save', []);
  await attempt('iptables-restore', ['--noflush', '--wait'], lines(deletions(saved, device)));
}

/** Output of a program whose failure changes nothing. */
function attempt(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: ENV });
    let output = '';
    child.stdout.on('data', (data: Buffer) => (output += data.toString('utf8')));
    child.on('error', () => resolve(output)).on('close', () => resolve(output));
    child.stdin.on('error', () => undefined).end(input);
  });
}

/** The same where the process cannot wait. */
function attemptNow(program: string, args: readonly string[], input = ''): string {
  const { stdout } = spawnSync(program, args, { input, env: ENV, encoding: 'utf8' });
  return stdout ?? '';
}

/** Input of iptables-restore. A table is restored whole or not at all, so it names only rules that are there. */
function deletions(saved: string, device: string): string[] {
  return saved.split('\n').flatMap((line) => {
    if (line.startsWith('*') || line === 'COMMIT') return [line];
    return line.includes(` --comment ${device} `) ? [line.replace(/^-A/, '-D')] : [];
  });
}

function rulesOf({ device, process: address }: Addresses) {
  const comment = `-m comment --comment ${device}`;
  const answers = '-m conntrack --ctstate RELATED,ESTABLISHED';
  return [
    { table: 'nat', chain: 'POSTROUTING', rule: `-s ${address}/32 ! -o ${device} ${comment} -j MASQUERADE` },
    { table: 'filter', chain: 'FORWARD', rule: `-o ${device} ${answers} ${comment} -j ACCEPT` },
    { table: 'filter', chain: 'FORWARD', rule: `-i ${device} ! -o ${DEVICE_PREFIX}+ ${comment} -j ACCEPT` },
    { table: 'filter', chain: 'FORWARD', rule: `-o ${device} ${comment} -j DROP` },
  ];
}

/** Input of iptables-restore. Rules go to the top, so that a policy of others does not come first; later ones go above earlier ones. */
function additions(addresses: Addresses): string[] {
  const ofTable = (table: string) =>
    rulesOf(addresses)
      .filter((rule) => rule.table === table)
      .map(({ chain, rule }) => `-I ${chain} ${rule}`)
      .reverse();
  return ['nat', 'filter'].flatMap((table) => [`*${table}`, ...ofTable(table), 'COMMIT']);
}

function takeNumber(): Numbered {
  mkdirSync(NETWORKS, { recursive: true, mode: 0o700 });
  for (let number = 0; number < MOST_NETWORKS; number++) {
    const directory = join(NETWORKS, String(number));
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch {
      continue;
    }
    const lock = lockDirectory(directory);
    if (lock === undefined) continue;
    const numbered = { number, lock };
    ofThisProcess.add(numbered);
    return numbered;
  }
  throw new Error(`${MOST_NETWORKS} networks are in use`);
}

function addressesOf(number: number): Addresses {
  const [first, second] = freeRange(readRoutes());
  const address = (last: number) => `${first}.${second}.${number >> 6}.${((number & 63) << 2) | last}`;
  return { device: deviceOf(number), host: address(1), process: address(2) };
}

const deviceOf = (number: number) => `${DEVICE_PREFIX}${number}`;

/** The first range that no network of the host overlaps, tsbuild's own aside. */
export function freeRange(routes: readonly Route[]): readonly [number, number] {
  const others = routes.filter(({ device, mask }) => mask !== 0 && !device.startsWith(DEVICE_PREFIX));
  const isFree = ([first, second]: readonly [number, number]) => {
    const range = ((first << 24) | (second << 16)) >>> 0;
    return others.every(({ destination, mask }) => {
      const wider = (mask & 0xffff0000) >>> 0;
      return (range & wider) >>> 0 !== (destination & wider) >>> 0;
    });
  };
  const free = RANGES.find(isFree);
  if (free === undefined) throw new Error('no range of private addresses is free');
  return free;
}

const ENV = { PATH: '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' };

/** @param lock stays held while the program runs, also when this process is killed: a sweep must not come before its rules */
function run(program: string, args: readonly string[], input: readonly string[], lock?: number): void {
  const { status, stderr, error } = spawnSync(program, args, {
    input: lines(input),
    env: ENV,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe', ...(lock === undefined ? [] : [lock])],
  });
  if (status === 0) return;
  throw new Error(`${program}: ${(error?.message ?? stderr).trim().split('\n')[0]}`);
}

function lines(list: readonly string[]): string {
  return list.join('\n') + '\n';
}

function listNetworks(): string[] {
  try {
    return readdirSync(NETWORKS).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function readForwarding(): string {
  try {
    return readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim();
  } catch {
    return '';
  }
}
