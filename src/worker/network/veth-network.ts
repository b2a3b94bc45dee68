import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { lockDirectory } from '../sys/flock.js';
import { isErrno } from '../sys/libc.js';
import { NetworkDevices } from '../sys/netlink.js';
import { inNetworkNamespace } from '../sys/network-namespace.js';
import { findProgram } from '../sys/programs.js';
import { readRoutes, type Route, uplinkMtu } from './host-network.js';
import { FIREWALL_PROGRAM, NetworkRules, removeRulesOf } from './network-rules.js';
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
  rules?: NetworkRules;
}

interface Addresses {
  readonly device: string;
  readonly host: string;
  readonly process: string;
}

/** Why the machine offers no such network to this process; undefined where it does. */
export function vethObstacle(): string | undefined {
  if (findProgram(FIREWALL_PROGRAM) === undefined) return `the program "${FIREWALL_PROGRAM}" is missing`;
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
  const { device, host, process } = addressesOf(numbered.number, range);
  const { lock } = numbered;
  numbered.rules = new NetworkRules({
    device,
    devicePrefix: DEVICE_PREFIX,
    address: process,
    directory,
    lock,
  });
  const adding = numbered.rules.add();
  try {
    connect(namespace, { device, host, process });
    await adding;
  } catch (error) {
    await adding.catch(() => undefined);
    await release(numbered);
    throw error;
  }
  return {
    process: { namespace },
    resolvConf: resolvConf('routed'),
    hostAddress: host,
    close: () => release(numbered),
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

const ofThisProcess = new Set<Numbered>();

/** Takes away the networks of this process, which must end now. */
export function abandonNetworks(): void {
  for (const numbered of ofThisProcess) {
    try {
      numbered.rules?.abandon();
      forget(numbered);
    } catch {
      leave(numbered);
    }
  }
}

/** Takes away what processes that no longer live left on the host. */
export async function sweepNetworks(): Promise<void> {
  for (const name of listNetworks()) {
    const lock = lockDirectory(join(NETWORKS, name));
    if (lock === undefined) continue;
    const numbered = { number: Number(name), lock };
    const device = deviceOf(numbered.number);
    const ends = await Promise.allSettled([removeRulesOf(device), removeDevice(device)]);
    if (ends.every(({ status }) => status === 'fulfilled')) forget(numbered);
    else leave(numbered);
  }
}

/** The kernel takes the device away with its namespace, which takes 20 to 40 ms that nobody has to wait for. */
async function release(numbered: Numbered): Promise<void> {
  try {
    await numbered.rules?.remove();
    forget(numbered);
  } catch {
    leave(numbered);
  }
}

/** Where a process that outlived its build holds the namespace. */
async function removeDevice(device: string): Promise<void> {
  try {
    using devices = new NetworkDevices();
    await devices.remove(device);
  } catch (error) {
    if (!isErrno(error, 'ENODEV')) throw error;
  }
}

function forget(numbered: Numbered): void {
  rmdirSync(join(NETWORKS, String(numbered.number)));
  leave(numbered);
}

/** The next sweep of any build takes it away. */
function leave(numbered: Numbered): void {
  ofThisProcess.delete(numbered);
  closeSync(numbered.lock);
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
