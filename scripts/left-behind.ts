/**
 * Compares the machine before and after a run of the tests: `left-behind.ts note FILE` writes down what there is, and
 * `left-behind.ts check FILE` fails when there is more by now. Mounts, processes, namespaces, control groups, network devices, firewall
 * rules, temporary files, users. Needs root, and a machine on which nothing else happens; `check FILE WORD` looks only at things
 * that contain the word.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MachineInventory, machineInventory, newIn } from '../test/kit/machine-inventory.js';

/** What removes directories in the background has so long for it. */
const PATIENCE_MS = 10_000;

const [, , command, file, word = ''] = process.argv;
if (file === undefined || (command !== 'note' && command !== 'check'))
  throw new Error('usage: left-behind.ts note|check FILE [WORD]');

if (command === 'note') writeFileSync(file, JSON.stringify(machineInventory()));
else {
  const before = JSON.parse(readFileSync(file, 'utf8')) as MachineInventory;
  const find = () => newIn(machineInventory(), before).filter((thing) => thing.includes(word));
  const started = performance.now();
  let left = find();
  while (left.length > 0 && performance.now() - started < PATIENCE_MS) {
    await sleep(200);
    left = find();
  }
  for (const thing of left) console.log(`left behind: ${thing}`);
  if (left.length > 0) process.exitCode = 1;
  else console.log('nothing is left behind');
}
