import { expect } from 'chai';
import { readRoutes } from '../../../src/worker/network/host-network.js';
import { freeRange } from '../../../src/worker/network/veth-network.js';

const HEADER = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n';
const row = (device: string, destination: string, mask: string) =>
  `${device}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;

describe('addresses of build networks', () => {
  before(function () {
    if (process.arch === 's390x') this.skip();
  });

  it('come from the first range that no network of the host overlaps', () => {
    const routes = (...rows: string[]) => readRoutes(HEADER + rows.join(''));
    const everything = row('eth0', '00000000', '00000000');
    expect(freeRange(routes(everything))).to.deep.equal([10, 231]);
    expect(freeRange(routes(everything, row('eth0', '0000E70A', '0000FFFF')))).to.deep.equal([10, 247]);
    expect(freeRange(routes(row('vpn', '0007E70A', '00FFFFFF')))).to.deep.equal([10, 247]);
    expect(freeRange(routes(row('vpn', '0000000A', '000000FF')))).to.deep.equal([172, 30]);
    expect(freeRange(routes(row('tsbuild3', '0C00E70A', 'FCFFFFFF')))).to.deep.equal([10, 231]);
  });
});
