import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { textIfThere } from '../../cache/if-there.js';

/** An IPv4 network of the host's routing table; addresses as numbers. */
export interface Route {
  readonly device: string;
  readonly destination: number;
  readonly mask: number;
}

const DEFAULT_MTU = 1500;

/** The host's IPv4 routes, the default route among them as 0/0. */
export function readRoutes(text = textIfThere('/proc/net/route') ?? ''): Route[] {
  return text
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map((line) => {
      const [device = '', destination = '', , , , , , mask = ''] = line.split('\t');
      return { device, destination: fromHostOrder(destination), mask: fromHostOrder(mask) };
    });
}

/** What packets to the world may be long, so that they need not be cut on the way. */
export function uplinkMtu(routes = readRoutes()): number {
  const uplink = routes.find((route) => route.mask === 0)?.device;
  if (uplink === undefined) return DEFAULT_MTU;
  return Number(textIfThere(join('/sys/class/net', uplink, 'mtu')) ?? '') || DEFAULT_MTU;
}

/** The host's own address on the way to the world; loopback where it has none. */
export function hostAddress(routes = readRoutes()): string {
  const interfaces = networkInterfaces();
  const uplink = routes.find((route) => route.mask === 0)?.device;
  const candidates = uplink === undefined ? Object.values(interfaces).flat() : (interfaces[uplink] ?? []);
  return candidates.find((entry) => entry?.family === 'IPv4' && !entry.internal)?.address ?? '127.0.0.1';
}

/** The kernel prints addresses as numbers in the machine's byte order, which is little-endian wherever Node runs but on s390x. */
function fromHostOrder(hex: string): number {
  const bytes = Buffer.from(hex, 'hex');
  return process.arch === 's390x' ? bytes.readUInt32BE() : bytes.readUInt32LE();
}
