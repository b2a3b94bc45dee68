import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { BuildError } from '../../errors.js';
import type { ProcessNetwork } from '../executor/executor.js';
import { findProgram } from '../sys/programs.js';

/** A port of the host that leads to one of a process. */
export interface PublishedPort {
  /** Address of the host; empty: all. */
  readonly address: string;
  /** 0: one that is free. */
  readonly hostPort: number;
  readonly port: number;
}

/**
 * Runs inside of the network, and is passed on as text. What it connects to is the process's loopback, which its servers on all
 * addresses hear as well. It ends with the process that hands it connections.
 */
const CONNECTOR = `
const net = require('node:net');
process.on('disconnect', () => process.exit());
process.on('message', (port, from) => {
  if (!from) return;
  from.allowHalfOpen = true;
  const to = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  for (const [one, other] of [[from, to], [to, from]]) {
    one.on('error', () => other.destroy());
    one.on('close', (failed) => failed && other.destroy());
    one.pipe(other);
  }
});`;

/**
 * Listens on ports of the host, TCP only, and hands what connects there to a process of its own in the network. It works
 * for every network that is not the host's: nothing of the firewall is changed.
 *
 * @param note is told which free port was taken
 * @throws USAGE where the network is the host's or none, or a port is taken
 */
export async function publishPorts(
  ports: readonly PublishedPort[],
  network: ProcessNetwork,
  note: (message: string) => void,
): Promise<AsyncDisposable> {
  if (ports.length === 0) return { [Symbol.asyncDispose]: async () => undefined };
  const namespace = namespaceOf(network);
  const nsenter = findProgram('nsenter');
  if (nsenter === undefined) {
    throw new BuildError('USAGE', '--publish needs the program "nsenter"', {
      hint: 'install the package util-linux',
    });
  }
  const args = [`--net=${namespace}`, '--', process.execPath, '-e', CONNECTOR];
  const stdio = ['ignore', 'ignore', 'ignore', 'ipc'] as const;
  const connector = spawn(nsenter, args, { stdio: [...stdio], env: {}, detached: true });
  await once(connector, 'spawn');
  const servers: Server[] = [];
  const close = async () => {
    for (const server of servers) server.close();
    const ended = new Promise<void>((resolve) => connector.once('exit', () => resolve()));
    if (connector.exitCode === null && connector.kill('SIGKILL')) await ended;
  };
  try {
    for (const published of ports) servers.push(await listen(published, connector, note));
  } catch (error) {
    await close();
    throw error;
  }
  return { [Symbol.asyncDispose]: close };
}

function namespaceOf(network: ProcessNetwork): string {
  if (typeof network === 'object') return network.namespace;
  if (network === 'none') {
    throw new BuildError('USAGE', '--publish: with --network=none nothing reaches the program', {
      hint: 'leave --network out',
    });
  }
  throw new BuildError(
    'USAGE',
    '--publish: the program has the host’s network, its ports are the host’s already',
    {
      hint: 'leave --publish out; tsbuild doctor tells what a network of its own needs',
    },
  );
}

async function listen(
  { address, hostPort, port }: PublishedPort,
  connector: ChildProcess,
  note: (message: string) => void,
): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket: Socket) => {
    socket.on('error', () => socket.destroy());
    connector.send(port, socket, (error) => error && socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve).once('error', reject);
    server.listen({ port: hostPort, ...(address === '' ? {} : { host: address }) });
  }).catch((error: unknown) => {
    const place = `${address === '' ? '' : `${address}:`}${hostPort}`;
    throw new BuildError('USAGE', `--publish: cannot listen on ${place}: ${(error as Error).message}`, {
      cause: error,
      hint: 'another program may have the port; take another one',
    });
  });
  const taken = server.address();
  if (hostPort === 0 && typeof taken === 'object' && taken) note(`port ${port} is ${taken.port} of the host`);
  return server;
}
