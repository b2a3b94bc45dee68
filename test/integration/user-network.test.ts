import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BuildNetworks } from '../../src/worker/network/build-network.js';
import { openUserNetwork } from '../../src/worker/network/user-network.js';
import { unmount } from '../../src/worker/sys/mounts.js';
import { enterMountNamespace } from '../../src/worker/sys/namespaces.js';
import { createNetworkNamespace } from '../../src/worker/sys/network-namespace.js';
import { findProgram, needs } from '../kit/needs.js';
import { type PlainServer, servePlain } from '../kit/plain-server.js';
import { tmpDir } from '../kit/tmp-dir.js';

const execFileAsync = promisify(execFile);

describe('the network of RUN without the right to add devices', function () {
  this.timeout(60_000);
  let loopback: PlainServer;
  let everywhere: PlainServer;

  before(async function () {
    needs(this, 'mounts', { program: 'busybox' });
    loopback = await servePlain('127.0.0.1');
    everywhere = await servePlain('0.0.0.0');
  });
  after(() => {
    loopback?.server.close();
    everywhere?.server.close();
  });

  for (const name of ['slirp', 'pasta'] as const) {
    it(`comes through ${name}, and ends with it`, async function () {
      const program = name === 'slirp' ? 'slirp4netns' : name;
      needs(this, 'mounts', { program });
      enterMountNamespace();
      const directory = tmpDir();
      const namespace = join(directory, 'namespace');
      createNetworkNamespace(namespace);
      const programs = { slirp: undefined, pasta: undefined, [name]: findProgram(program) };
      const network = (await openUserNetwork(namespace, directory, programs))!;
      const get = (address: string, port: number) => {
        const fetch = [
          'busybox',
          'timeout',
          '2',
          'busybox',
          'wget',
          '-q',
          '-O-',
          `http://${address}:${port}/`,
        ];
        return execFileAsync('nsenter', [`--net=${namespace}`, ...fetch]).then(
          ({ stdout }) => stdout,
          () => 'refused\n',
        );
      };
      try {
        expect(await get(network.hostAddress, everywhere.port)).to.equal('on 0.0.0.0\n');
        for (const address of ['127.0.0.1', '10.0.2.2', network.hostAddress]) {
          expect(await get(address, loopback.port), address).to.equal('refused\n');
        }
      } finally {
        await network.close();
        unmount(namespace);
      }
      expect(network.resolvConf).to.contain('nameserver 10.0.2.3\n');
    });
  }

  it("is the host's where the machine offers no other, with one line that says why", async function () {
    needs(this, 'mounts');
    const directory = join(tmpDir(), 'own');
    const notes: string[] = [];
    const networks = new BuildNetworks({
      createDirectory: async () => (mkdirSync(directory), directory),
      ways: [() => Promise.reject(new Error('no devices')), () => Promise.reject(new Error('no program'))],
    });
    const network = await networks.open('default', (note) => notes.push(note));
    await networks.open('default', (note) => notes.push(note));
    await networks.close();
    expect(network.process).to.equal('host');
    expect(notes).to.deep.equal([
      "steps use the host's network: no devices; no program (tsbuild doctor tells what to do)",
    ]);
  });
});
