import { closeSync, readSync, write, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { callLibc, errnoError } from './libc.js';
import {
  attribute,
  errorOf,
  ipv4,
  netlinkAnswers,
  netlinkMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  openNetlink,
  text,
  u32,
} from './netlink-message.js';

/** A pair of virtual devices; the peer is in another network namespace. */
export interface VethPair {
  readonly name: string;
  readonly mtu: number;
  readonly peer: { readonly name: string; readonly namespace: number };
}

/** What rtnetlink(7) and the headers of the kernel name so. */
const [RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE] = [16, 17, 20, 24];
const [IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD] = [3, 4, 18, 28];
const [IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER] = [1, 2, 1];
const [IFA_ADDRESS, IFA_LOCAL, RTA_GATEWAY] = [1, 2, 5];
const [RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST] = [254, 3, 1];
const NETLINK_ROUTE = 0;
const AF_INET = 2;
const IFF_UP = 1;
const { EPROTO } = constants.errno;

/** Network devices of the namespace that the calling thread is in when it opens this. */
export class NetworkDevices implements Disposable {
  readonly #socket = openNetlink(NETLINK_ROUTE);

  addVeth({ name, mtu, peer }: VethPair): void {
    const ends = (device: string) => [attribute(IFLA_IFNAME, text(device)), attribute(IFLA_MTU, u32(mtu))];
    const other = [linkHeader(0), ...ends(peer.name), attribute(IFLA_NET_NS_FD, u32(peer.namespace))];
    const info = [
      attribute(IFLA_INFO_KIND, text('veth')),
      attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, ...other)),
    ];
    this.#ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, [
      linkHeader(0),
      ...ends(name),
      attribute(IFLA_LINKINFO, ...info),
    ]);
  }

  /** Gives the device an address, and starts it. */
  raise(name: string, address: string, prefixLength: number): void {
    const own = ipv4(address);
    this.#ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, [
      Buffer.from([AF_INET, prefixLength, 0, 0]),
      u32(indexOf(name)),
      attribute(IFA_LOCAL, own),
      attribute(IFA_ADDRESS, own),
    ]);
    this.start(name);
  }

  start(name: string): void {
    this.#ask(RTM_NEWLINK, 0, [linkHeader(IFF_UP), attribute(IFLA_IFNAME, text(name))]);
  }

  addDefaultRoute(gateway: string): void {
    this.#ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, [
      Buffer.from([AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST]),
      u32(0),
      attribute(RTA_GATEWAY, ipv4(gateway)),
    ]);
  }

  /** The kernel takes 20 ms, which another thread waits for. */
  async remove(name: string): Promise<void> {
    const removal = request(RTM_DELLINK, 0, [linkHeader(0), attribute(IFLA_IFNAME, text(name))]);
    await promisify(write)(this.#socket, removal);
    this.#answer();
  }

  [Symbol.dispose](): void {
    closeSync(this.#socket);
  }

  #ask(type: number, flags: number, body: readonly Buffer[]): void {
    writeSync(this.#socket, request(type, flags, body));
    this.#answer();
  }

  /** It is there as soon as the question was written. @throws ErrnoException */
  #answer(): void {
    const data = Buffer.alloc(4096);
    const [answer] = netlinkAnswers(data.subarray(0, readSync(this.#socket, data)));
    const error = answer?.type === NLMSG_ERROR ? errorOf(answer.body) : -EPROTO;
    if (error !== 0) throw errnoError(-error, 'netlink');
  }
}

function request(type: number, flags: number, body: readonly Buffer[]): Buffer {
  return netlinkMessage(type, NLM_F_REQUEST | NLM_F_ACK | flags, body);
}

/** struct ifinfomsg of a device that is told by its name. */
function linkHeader(flags: number): Buffer {
  return Buffer.concat([u32(0), u32(0), u32(flags), u32(flags)]);
}

function indexOf(name: string): number {
  const index = callLibc('int if_nametoindex(const char *name)', [name], name);
  if (index === 0) throw new Error(`there is no network device "${name}"`);
  return index;
}
