import { close, closeSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { errnoError, isErrno } from './libc.js';
import {
  attribute,
  attributesOf,
  errorOf,
  ipv4,
  type NetlinkAnswer,
  netlinkAnswers,
  netlinkMessage,
  NLM_F_CREATE,
  NLM_F_ECHO,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  openNetlink,
  text,
  u16,
  u32,
} from './netlink-message.js';

/** A rule of a firewall, in the terms of iptables(8). A device's name that ends with `+` stands for all that begin so. */
export interface FirewallRule {
  readonly table: 'nat' | 'filter';
  readonly chain: string;
  /** An IPv4 address. */
  readonly source?: string;
  readonly input?: string;
  readonly output?: { readonly device: string; readonly not?: boolean };
  readonly states?: readonly ConnectionState[];
  /** At most 255 bytes. */
  readonly comment: string;
  readonly target: 'ACCEPT' | 'DROP' | 'MASQUERADE';
}

export type ConnectionState = 'NEW' | 'RELATED' | 'ESTABLISHED';

/** Where the kernel finds a rule again. A table that is made anew, as by a reload of all rules, may give its number to another one. */
interface RuleHandle extends Pick<FirewallRule, 'table' | 'chain' | 'comment'> {
  readonly handle: Buffer;
}

/** What the headers of the kernel name so: linux/netfilter/nfnetlink.h and nf_tables.h. */
const NETLINK_NETFILTER = 12;
const [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES] = [16, 17, 10];
const NFT_MSG_NEWRULE = (NFNL_SUBSYS_NFTABLES << 8) | 6;
const NFT_MSG_GETRULE = (NFNL_SUBSYS_NFTABLES << 8) | 7;
const NFT_MSG_DELRULE = (NFNL_SUBSYS_NFTABLES << 8) | 8;
const NFT_MSG_NEWGEN = (NFNL_SUBSYS_NFTABLES << 8) | 15;
const NFT_MSG_GETGEN = (NFNL_SUBSYS_NFTABLES << 8) | 16;
const [NFTA_GEN_ID, NFNL_BATCH_GENID] = [1, 1];
const [NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, NFTA_RULE_EXPRESSIONS] = [1, 2, 3, 4];
const [NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA, NLA_F_NESTED] = [1, 1, 2, 0x8000];
const [AF_UNSPEC, AF_INET, NFNETLINK_V0] = [0, 2, 0];
const [NFT_META_IIFNAME, NFT_META_OIFNAME] = [6, 7];
const [NFT_REG_VERDICT, NFT_REG_1, NFT_CMP_EQ, NFT_CMP_NEQ] = [0, 1, 0, 1];
const [NF_DROP, NF_ACCEPT] = [0, 1];

/** Rules that this process put into the firewall. It has the socket from the start: later there may be no descriptor left for one. */
export class InsertedRules {
  readonly #socket = openNetlink(NETLINK_NETFILTER);
  readonly #handles: readonly RuleHandle[];

  /**
   * Puts rules to the top of their chains, the last one topmost, all or none. They are what iptables-nft would make of them, which
   * shows and deletes them. @throws ErrnoException, ENOENT where there is no such table or chain
   */
  constructor(rules: readonly FirewallRule[]) {
    try {
      this.#handles = insert(this.#socket, rules);
    } catch (error) {
      closeSync(this.#socket);
      throw error;
    }
  }

  /**
   * Deletes them, all or none, before it gives its promise; once. The kernel then waits until nobody reads them any more, for 5 to
   * 15 ms, and another thread with it. @throws ErrnoException, ENOENT where one was deleted by others, or has become another one
   */
  delete(): Promise<void> {
    const end = () => promisify(close)(this.#socket);
    try {
      deleteUnchanged(this.#socket, this.#handles);
    } catch (error) {
      return end().then(() => Promise.reject(error as Error));
    }
    return end();
  }

  /** The same where the process cannot wait. */
  deleteNow(): void {
    try {
      deleteUnchanged(this.#socket, this.#handles);
    } finally {
      closeSync(this.#socket);
    }
  }
}

function insert(socket: number, rules: readonly FirewallRule[]): RuleHandle[] {
  const messages = rules.map(({ table, chain, ...rule }) => [
    attribute(NFTA_RULE_TABLE, text(table)),
    attribute(NFTA_RULE_CHAIN, text(chain)),
    nested(NFTA_RULE_EXPRESSIONS, ...expressionsOf(rule)),
  ]);
  const made = transact(socket, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_ECHO, messages).map(ruleOf);
  return rules.map(({ table, chain, comment }, i) => {
    const handle = made[i]?.handle;
    if (handle === undefined) throw errnoError(EPROTO, 'netlink');
    return { table, chain, comment, handle };
  });
}

const { ENOENT, EPROTO } = constants.errno;
/** Of the kernel alone: libc has no name for it. */
const ERESTART = 85;
const MOST_TRIES = 20;

/** All of it in one state of the rules: where others change them between the look and the deletion, the kernel says so. */
function deleteUnchanged(socket: number, handles: readonly RuleHandle[]): void {
  const places = handles.map(({ table, chain, handle }) => [
    attribute(NFTA_RULE_TABLE, text(table)),
    attribute(NFTA_RULE_CHAIN, text(chain)),
    attribute(NFTA_RULE_HANDLE, handle),
  ]);
  for (let tries = 1; ; tries++) {
    const { generation, rules } = look(socket, places);
    if (rules.length !== handles.length || rules.some(({ comment }, i) => comment !== handles[i]!.comment))
      throw errnoError(ENOENT, 'netlink');
    try {
      transact(socket, NFT_MSG_DELRULE, 0, places, generation);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).errno !== -ERESTART || tries === MOST_TRIES) throw error;
    }
  }
}

/** The number of the rules' state, then the rules at these places. */
function look(socket: number, places: readonly Buffer[][]): { generation: Buffer; rules: FoundRule[] } {
  const questions = [
    netlinkMessage(NFT_MSG_GETGEN, NLM_F_REQUEST, [header(AF_UNSPEC)]),
    ...places.map((place) => netlinkMessage(NFT_MSG_GETRULE, NLM_F_REQUEST, [header(AF_INET), ...place])),
  ];
  const [first, ...rules] = ask(socket, questions);
  const generation = new Map(
    first?.type === NFT_MSG_NEWGEN ? attributesOf(first.body.subarray(HEADER_BYTES)) : [],
  );
  const number = generation.get(NFTA_GEN_ID);
  if (number === undefined) throw errnoError(EPROTO, 'netlink');
  return { generation: Buffer.from(number), rules: rules.map(ruleOf) };
}

interface FoundRule {
  readonly handle: Buffer | undefined;
  readonly comment: string | undefined;
}

function ruleOf({ body }: NetlinkAnswer): FoundRule {
  const rule = new Map(attributesOf(body.subarray(HEADER_BYTES)));
  const handle = rule.get(NFTA_RULE_HANDLE);
  const expressions = [...attributesOf(rule.get(NFTA_RULE_EXPRESSIONS) ?? Buffer.alloc(0))];
  const comments = expressions.flatMap(([, expression]) => commentIn(new Map(attributesOf(expression))));
  return { handle: handle && Buffer.from(handle), comment: comments[0] };
}

function commentIn(expression: ReadonlyMap<number, Buffer>): string[] {
  const extension = new Map(attributesOf(expression.get(NFTA_EXPR_DATA) ?? Buffer.alloc(0)));
  const [name, info] = [extension.get(1), extension.get(3)];
  return name && info && stringIn(name) === 'comment' ? [stringIn(info)] : [];
}

const stringIn = (data: Buffer) => data.toString('utf8').split('\0', 1)[0]!;

/**
 * Changes rules, all or none. Gives what the kernel tells of them.
 * @param generation the number of the only state of the rules in which they are to be changed; ERESTART in another one
 */
function transact(
  socket: number,
  type: number,
  flags: number,
  messages: readonly Buffer[][],
  generation?: Buffer,
): NetlinkAnswer[] {
  const begin = [
    header(AF_UNSPEC, NFNL_SUBSYS_NFTABLES),
    ...(generation ? [attribute(NFNL_BATCH_GENID, generation)] : []),
  ];
  const answers = ask(socket, [
    netlinkMessage(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, begin, 1),
    ...messages.map((body, i) =>
      netlinkMessage(type, NLM_F_REQUEST | flags, [header(AF_INET), ...body], 2 + i),
    ),
    netlinkMessage(NFNL_MSG_BATCH_END, NLM_F_REQUEST, [header(AF_UNSPEC, NFNL_SUBSYS_NFTABLES)], 0),
  ]);
  return answers.filter((answer) => answer.type === NFT_MSG_NEWRULE);
}

const ANSWER_BYTES = 1 << 16;

/** The kernel has answered before the questions' `write` is over. @throws the first error among the answers */
function ask(socket: number, questions: readonly Buffer[]): NetlinkAnswer[] {
  writeSync(socket, Buffer.concat(questions));
  const answers: NetlinkAnswer[] = [];
  for (;;) {
    const data = Buffer.allocUnsafe(ANSWER_BYTES);
    try {
      answers.push(...netlinkAnswers(data.subarray(0, readSync(socket, data))));
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) break;
      throw error;
    }
  }
  for (const { type, body } of answers)
    if (type === NLMSG_ERROR && errorOf(body) !== 0) throw errnoError(-errorOf(body), 'netlink');
  return answers;
}

const HEADER_BYTES = 4;

/** struct nfgenmsg */
const header = (family: number, resource = 0) => Buffer.from([family, NFNETLINK_V0, 0, resource]);

/** In the order in which iptables-nft writes them, and reads them back. */
function expressionsOf(rule: Omit<FirewallRule, 'table' | 'chain'>): Buffer[] {
  const { source, input, output, states, comment, target } = rule;
  return [
    ...(input === undefined ? [] : device(NFT_META_IIFNAME, input, NFT_CMP_EQ)),
    ...(output ? device(NFT_META_OIFNAME, output.device, output.not ? NFT_CMP_NEQ : NFT_CMP_EQ) : []),
    ...(source === undefined ? [] : sourceAddress(source)),
    ...(states ? [extension('match', 'conntrack', CONNTRACK_REVISION, conntrackInfo(states))] : []),
    extension('match', 'comment', 0, padded(Buffer.from(comment), COMMENT_BYTES)),
    expression('counter', attribute(1, number64(0)), attribute(2, number64(0))),
    target === 'MASQUERADE'
      ? extension('target', target, 0, padded(u32(1), NAT_RANGE_BYTES))
      : verdict(target === 'ACCEPT' ? NF_ACCEPT : NF_DROP),
  ];
}

function device(key: number, name: string, operator: number): Buffer[] {
  const value = name.endsWith('+') ? Buffer.from(name.slice(0, -1)) : text(name);
  return [
    expression('meta', attribute(2, number(key)), attribute(1, number(NFT_REG_1))),
    compare(operator, value),
  ];
}

function sourceAddress(address: string): Buffer[] {
  const [NFT_PAYLOAD_NETWORK_HEADER, offset, bytes] = [1, 12, 4];
  const load = [NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, offset, bytes];
  return [
    expression('payload', ...load.map((value, i) => attribute(1 + i, number(value)))),
    compare(NFT_CMP_EQ, ipv4(address)),
  ];
}

function compare(operator: number, value: Buffer): Buffer {
  const [register, op] = [attribute(1, number(NFT_REG_1)), attribute(2, number(operator))];
  return expression('cmp', register, op, nested(3, attribute(1, value)));
}

/** A match or target of iptables itself. */
function extension(kind: 'match' | 'target', name: string, revision: number, info: Buffer): Buffer {
  return expression(kind, attribute(1, text(name)), attribute(2, number(revision)), attribute(3, info));
}

function verdict(code: number): Buffer {
  const data = nested(2, nested(2, attribute(1, number(code))));
  return expression('immediate', attribute(1, number(NFT_REG_VERDICT)), data);
}

const CONNTRACK_REVISION = 3;
/** Sizes of struct xt_conntrack_mtinfo3, xt_comment_info and nf_nat_ipv4_multi_range_compat, and where the first one's flags are. */
const [CONNTRACK_BYTES, COMMENT_BYTES, NAT_RANGE_BYTES, CONNTRACK_FLAGS_AT] = [168, 256, 24, 146];
const XT_CONNTRACK_STATE = 1;
const STATE_BITS: Readonly<Record<ConnectionState, number>> = { ESTABLISHED: 2, RELATED: 4, NEW: 8 };

function conntrackInfo(states: readonly ConnectionState[]): Buffer {
  const mask = states.reduce((bits, state) => bits | STATE_BITS[state], 0);
  const flags = [u16(XT_CONNTRACK_STATE), u16(0), u16(mask), u16(0)];
  return padded(Buffer.concat([Buffer.alloc(CONNTRACK_FLAGS_AT), ...flags]), CONNTRACK_BYTES);
}

function expression(name: string, ...data: readonly Buffer[]): Buffer {
  return nested(NFTA_LIST_ELEM, attribute(NFTA_EXPR_NAME, text(name)), nested(NFTA_EXPR_DATA, ...data));
}

const nested = (type: number, ...value: readonly Buffer[]) => attribute(NLA_F_NESTED | type, ...value);
const padded = (value: Buffer, bytes: number) => Buffer.concat([value, Buffer.alloc(bytes - value.length)]);

/** nf_tables has numbers with the highest byte first. */
function number(value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data;
}

const number64 = (value: number) => Buffer.concat([number(0), number(value)]);
