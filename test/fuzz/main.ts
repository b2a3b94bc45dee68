import { parseArgs } from 'node:util';
import { runFuzz } from './run-fuzz.js';
import { TARGETS } from './targets.js';

/** `npm run fuzz -- --seconds N [--target T] [--seed S]` */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string', multiple: true },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});

for (const target of values.target ?? Object.keys(TARGETS)) {
  const seed = Number(values.seed);
  const { runs, blocks, corpus, failure } = await runFuzz({ target, seed, seconds: Number(values.seconds) });
  console.log(`${target}: ${runs} runs, ${blocks} blocks, ${corpus} inputs kept, seed ${seed}`);
  if (!failure) continue;
  process.exitCode = 1;
  console.log(`${failure.error}\ninput, shrunk, in base64: ${failure.input}`);
  console.log(JSON.stringify(Buffer.from(failure.input, 'base64').toString('latin1')));
}
