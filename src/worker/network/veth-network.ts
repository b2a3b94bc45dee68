import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockDirectory } from '../sys/flock.js';
import { isErrno } from '../sys/libc.js';
import { NetworkDevices } from '../sys/netlink.js';
import { inNetworkNamespace } from '../sys/network-namespace.js';
import { findProgram } from '../sys/programs.js';
import { type SpawnedProgram, spawnProgram } from '../sys/spawn.js';
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
const PREFIX_LENGTH = 30;

interface Numbered {
  readonly number: number;
  readonly lock: number;
  /** The program that adds its rules, while it runs. */
  adding?: SpawnedProgram | undefined;
}

interface Addresses {
  readonly device: string;
  readonly host: string;
  readonly process: string;
}

/** Why the machine offers no such network to this process; undefined where it does. */
export function vethObstacle(): string | undefined {
  if (findProgram('iptables-restore') === undefined) return 'the program "iptables-restore" is missing';
  if (readForwarding() !== '1') return 'the sysctl net.ipv4.ip_forward is 0';
  return undefined;
}

/**
 * Connects a network namespace to the world: a pair of virtual devices, and translation of its address by the firewall. Takes
 * the next free number of the machine.
 * @param directory takes the rules and what the program says of them; it is there until the end of `close`
 * @throws Error of the kernel or the program
 */
export async function openVethNetwork(namespace: string, directory: string): Promise<OpenNetwork> {
  const range = freeRange(readRoutes());
  const numbered = takeNumber((device) => addDevices(namespace, device));
  const addresses = addressesOf(numbered.number, range);
  const adding = addRules(numbered, addresses, directory);
  try {
    connect(namespace, addresses);
    await adding;
  } catch (error) {
    await adding.catch(() => undefined);
    await release(numbered, addresses, directory);
    throw error;
  }
  return {
    process: { namespace },
    resolvConf: resolvConf('routed'),
    hostAddress: addresses.host,
    close: () => release(numbered, addresses, directory),
  };
}

/** @throws EEXIST where there is a device of that name */
function addDevices(namespace: string, device: string): void {
  using devices = new NetworkDevices();
  const file = openSync(namespace, 'r');
  try {
    devices.addVeth({ name: device, mtu: uplinkMtu(), peer: { name: 'eth0', namespace: file } });
  } finally {
    closeSync(file);
  }
}

function connect(namespace: string, { device, host, process: own }: Addresses): void {
  using devices = new NetworkDevices();
  devices.raise(device, host, PREFIX_LENGTH);
  inNetworkNamespace(namespace, () => {
    using inside = new NetworkDevices();
    inside.raise('eth0', own, PREFIX_LENGTH);
    inside.addDefaultRoute(host);
  });
}

/** The program holds the lock as well, also when this process is killed: a sweep must not come before its rules. */
async function addRules(numbered: Numbered, addresses: Addresses, directory: string): Promise<void> {
  numbered.adding = startRestoring(changes('-I', addresses), directory, numbered.lock);
  const status = await numbered.adding.exitCode;
  numbered.adding = undefined;
  if (status !== 0)
    throw new Error(`iptables-restore: ${readFileSync(errorsIn(directory), 'utf8').trim().split('\n')[0]}`);
}

/** Its end is known sooner than that of a child of Node's, and it does not copy this process. */
function startRestoring(input: readonly string[], directory: string, lock: number): SpawnedProgram {
  const rules = join(directory, 'rules');
  writeFileSync(rules, lines(input));
  const output = openSync(errorsIn(directory), 'w');
  try {
    const descriptors = [output, output, lock];
    return spawnProgram(findProgram('iptables-restore')!, restoreArguments(rules), { env: ENV, descriptors });
  } finally {
    closeSync(output);
  }
}

const errorsIn = (directory: string) => join(directory, 'errors');

const ofThisProcess = new Set<Numbered>();

/** Takes away the networks of this process, which must end now. */
export function abandonNetworks(): void {
  for (const numbered of ofThisProcess) {
    const device = deviceOf(numbered.number);
    numbered.adding?.killAndWait();
    attemptNow(
      'iptables-restore',
      restoreArguments(),
      lines(deletions(attemptNow('iptables-save', []), device)),
    );
    forget(numbered);
  }
}

/** Takes away what processes that no longer live left on the host. */
export async function sweepNetworks(): Promise<void> {
  for (const name of listNetworks()) {
    const lock = lockDirectory(join(NETWORKS, name));
    if (lock === undefined) continue;
    const device = deviceOf(Number(name));
    await Promise.all([deleteSavedRules(device), removeDevice(device)]);
    forget({ number: Number(name), lock });
  }
}

/** The kernel takes the device away with its namespace, which takes 20 to 40 ms that nobody has to wait for. */
async function release(numbered: Numbered, addresses: Addresses, directory: string): Promise<void> {
  await deleteRules(numbered, addresses, directory);
  forget(numbered);
}

/** Where a process that outlived its build holds the namespace. */
async function removeDevice(device: string): Promise<void> {
  try {
    using devices = new NetworkDevices();
    await devices.remove(device);
  } catch {
    // It is gone already.
  }
}

function forget(numbered: Numbered): void {
  ofThisProcess.delete(numbered);
  rmdirSync(join(NETWORKS, String(numbered.number)));
  closeSync(numbered.lock);
}

/** Others may have deleted some of them, all of a table even; then those go that are left. */
async function deleteRules({ lock }: Numbered, addresses: Addresses, directory: string): Promise<void> {
  try {
    if ((await startRestoring(changes('-D', addresses), directory, lock).exitCode) === 0) return;
  } catch {
    // The other way asks what there is.
  }
  await deleteSavedRules(addresses.device);
}

async function deleteSavedRules(device: string): Promise<void> {
  const { output } = await attempt('iptables-save', []);
  await attempt('iptables-restore', restoreArguments(), lines(deletions(output, device)));
}

/** A program whose failure changes nothing. */
function attempt(
  program: string,
  args: readonly string[],
  input = '',
): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: ENV });
    let output = '';
    child.stdout.on('data', (data: Buffer) => (output += data.toString('utf8')));
    child.on('error', () => resolve({ status: null, output }));
    child.on('close', (status) => resolve({ status, output }));
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

/**
 * The table `nat` only sees first packets of connections, so that the state in its rule matches all of them. It is there so that
 * the program asks for that module before it changes anything: for the second table it would open a socket for the question, and
 * when a socket is closed after a deletion, the kernel waits 10 to 20 ms until all that read the rules have ended.
 */
function rulesOf({ device, process: address }: Addresses) {
  const comment = `-m comment --comment ${device}`;
  const state = (...states: readonly string[]) => `-m conntrack --ctstate ${states.join(',')}`;
  const first = state('NEW', 'RELATED');
  const answers = state('RELATED', 'ESTABLISHED');
  return [
    {
      table: 'nat',
      chain: 'POSTROUTING',
      rule: `-s ${address}/32 ! -o ${device} ${first} ${comment} -j MASQUERADE`,
    },
    { table: 'filter', chain: 'FORWARD', rule: `-o ${device} ${answers} ${comment} -j ACCEPT` },
    { table: 'filter', chain: 'FORWARD', rule: `-i ${device} ! -o ${DEVICE_PREFIX}+ ${comment} -j ACCEPT` },
    { table: 'filter', chain: 'FORWARD', rule: `-o ${device} ${comment} -j DROP` },
  ];
}

/**
 * Input of iptables-restore. Rules go to the top, so that a policy of others does not come first; later ones go above earlier
 * ones.
 */
function changes(command: '-I' | '-D', addresses: Addresses): string[] {
  const ofTable = (table: string) =>
    rulesOf(addresses)
      .filter((rule) => rule.table === table)
      .map(({ chain, rule }) => `${command} ${chain} ${rule}`)
      .reverse();
  return ['nat', 'filter'].flatMap((table) => [`*${table}`, ...ofTable(table), 'COMMIT']);
}

/**
 * The first number that no living process of the machine has and whose device can be made: a process that has another /run, as in
 * a container with the host's network, may have one of that name.
 */
function takeNumber(makeDevice: (device: string) => void): Numbered {
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
    try {
      makeDevice(deviceOf(number));
      return numbered;
    } catch (error) {
      forget(numbered);
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
  throw new Error(`${MOST_NETWORKS} networks are in use`);
}

function addressesOf(number: number, [first, second]: readonly [number, number]): Addresses {
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

/** What follows on `--wait` would be taken for its seconds. */
const restoreArguments = (...files: readonly string[]) => ['--noflush', ...files, '--wait'];

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
