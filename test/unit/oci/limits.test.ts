import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { LIMITS } from '../../../src/oci/limits.js';
import { PROJECT } from '../../kit/cli.js';

describe('SECURITY.md', () => {
  const text = readFileSync(join(PROJECT, 'SECURITY.md'), 'utf8');

  it('has each limit with its number', () => {
    const listed = [...text.matchAll(/^\| `(\w+)` \| (\d+) \| \S/gm)].map(([, name, value]) => [
      name,
      Number(value),
    ]);
    expect(Object.fromEntries(listed)).to.deep.equal({ ...LIMITS });
  });
});
