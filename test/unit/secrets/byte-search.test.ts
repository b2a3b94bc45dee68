import { expect } from 'chai';
import fc from 'fast-check';
import { ByteSearch } from '../../../src/secrets/byte-search.js';
import { LogMask } from '../../../src/secrets/log-mask.js';
import { StreamSearch } from '../../../src/secrets/stream-search.js';

/** Few different bytes, so that matches, overlaps and near misses are frequent. */
const bytes = (minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom(97, 98, 99), { minLength, maxLength }).map((list) => Buffer.from(list));

const patterns = fc.array(bytes(4, 9), { minLength: 1, maxLength: 5 });

/** The text in random parts. */
const parts = fc.array(bytes(0, 30), { maxLength: 8 });

function firstMatch(
  data: Buffer,
  wanted: readonly Buffer[],
  from: number,
): { at: number; length: number } | undefined {
  for (let at = from; at < data.length; at++) {
    const lengths = wanted
      .filter((pattern) => data.subarray(at, at + pattern.length).equals(pattern))
      .map((pattern) => pattern.length);
    if (lengths.length > 0) return { at, length: Math.max(...lengths) };
  }
  return undefined;
}

describe('search for many byte strings', () => {
  it('finds what a look at every place finds: the first place, and there the longest', () => {
    fc.assert(
      fc.property(patterns, bytes(0, 80), fc.nat(10), (wanted, data, from) => {
        const search = new ByteSearch(wanted);
        const match = search.find(data, from);
        const found = match && { at: match.at, length: search.lengthOf(match.pattern) };
        expect(found).to.deep.equal(firstMatch(data, wanted, from));
      }),
    );
  });

  it('finds in parts what is in the whole', () => {
    fc.assert(
      fc.property(patterns, parts, (wanted, stream) => {
        const search = new StreamSearch(new ByteSearch(wanted));
        for (const part of stream) search.add(part);
        const whole = Buffer.concat(stream);
        const places = [...whole.keys()].filter((at) => firstMatch(whole, wanted, at)?.at === at);
        expect(search.matches.map(({ at }) => at).sort((a, b) => a - b)).to.deep.equal(places);
      }),
    );
  });

  it('masks in parts as in the whole, and keeps every other byte', () => {
    fc.assert(
      fc.property(patterns, parts, (wanted, stream) => {
        const search = new ByteSearch(wanted);
        const [inParts, atOnce] = [new LogMask(search), new LogMask(search)];
        const masked = Buffer.concat([...stream.map((part) => inParts.mask(part)), inParts.end()]);
        const whole = Buffer.concat(stream);
        expect(masked.toString()).to.equal(Buffer.concat([atOnce.mask(whole), atOnce.end()]).toString());
        expect(firstMatch(masked, wanted, 0)).to.equal(undefined);
      }),
    );
  });

  it('holds nothing back that cannot become a match', () => {
    const mask = new LogMask(new ByteSearch([Buffer.from('token-1234')]));
    const shown = ['Password: ', 'tok', 'yo token-', '1234!'].map((part) =>
      Buffer.from(mask.mask(Buffer.from(part))).toString(),
    );
    expect(shown).to.deep.equal(['Password: ', '', 'tokyo ', '***!']);
  });
});
