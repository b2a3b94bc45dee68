import { expect } from 'chai';
import { runFuzz } from './run-fuzz.js';
import { TARGETS } from './targets.js';

/** CI sets 30: two minutes in all. A longer run: `npm run fuzz -- --seconds 900`. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 3);

describe('random input', () => {
  for (const target of Object.keys(TARGETS)) {
    it(`of the ${target} parser ends in a result or a BuildError`, async function () {
      this.timeout((seconds + 180) * 1000);
      const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
      const { failure, runs } = await runFuzz({ target, seconds, seed });
      expect(failure && `${failure.error}\ninput in base64: ${failure.input}`, `FUZZ_SEED=${seed}`).to.equal(
        undefined,
      );
      expect(runs).to.be.greaterThan(50);
    });
  }
});
