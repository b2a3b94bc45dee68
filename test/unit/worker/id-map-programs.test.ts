import { expect } from 'chai';
import { givesCapability } from '../../../src/worker/sys/id-map-programs.js';

const SETGID = 6;
const SETUID = 7;

describe('the capabilities of a file', () => {
  for (const [what, hex, capability, expected] of [
    ['cap_setuid=ep gives it', '0100000280000000000000000000000000000000', SETUID, true],
    [
      'cap_setuid=p gives nothing to a program that does not ask',
      '0000000280000000000000000000000000000000',
      SETUID,
      false,
    ],
    ['cap_setgid=ep does not give cap_setuid', '0100000240000000000000000000000000000000', SETUID, false],
    [
      'cap_setgid=ep of a namespace (version 3)',
      '010000034000000000000000000000000000000000000000',
      SETGID,
      true,
    ],
    ['an attribute cut short gives nothing', '01000002', SETUID, false],
  ] as const) {
    it(what, () => expect(givesCapability(Buffer.from(hex, 'hex'), capability)).to.equal(expected));
  }

  it('are none without the attribute', () => expect(givesCapability(undefined, SETUID)).to.equal(false));
});
