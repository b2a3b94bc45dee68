import { expect } from 'chai';
import { formatPlatform, parsePlatform, selectPlatform } from '../../../src/oci/platform.js';

describe('a platform', () => {
  for (const [text, normal] of [
    ['linux/x86_64', 'linux/amd64'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['Linux/AMD64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['macos/arm64', 'darwin/arm64'],
  ] as const)
    it(`${text} is ${normal}`, () => {
      expect(formatPlatform(parsePlatform(text))).to.equal(normal);
    });

  // What containerd's matchers choose: the variant itself, older ones from the newest down, the 32-bit sibling.
  for (const [wanted, candidates, chosen] of [
    ['linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64', ['linux/amd64/v2', 'linux/386'], 'linux/386'],
    ['linux/amd64', ['linux/386', 'linux/amd64'], 'linux/amd64'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm64'], 'linux/arm/v6'],
    ['linux/arm/v6', ['linux/arm/v7'], undefined],
    ['linux/arm64', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64'],
    ['linux/386', ['linux/amd64'], undefined],
    ['linux/arm/v7', ['linux/arm64'], undefined],
    ['linux/amd64', ['windows/amd64'], undefined],
  ] as const)
    it(`${wanted} takes ${chosen ?? 'none'} of ${candidates.join(', ')}`, () => {
      const found = selectPlatform(parsePlatform(wanted), candidates.map(parsePlatform), (one) => one);
      expect(found && formatPlatform(found)).to.equal(chosen);
    });

  for (const text of ['linux/amd64/v1/x', 'what', '', 'linux//v1', 'linux/a b'])
    it(`"${text}" is refused`, () => {
      expect(() => parsePlatform(text)).to.throw(Error, 'is not valid');
    });
});
