import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FEATURES } from '../test/compatibility/features.js';

/**
 * Writes docs/compatibility.md from what the tests say: `npm run compatibility`. With a file as argument, from that report of
 * mocha's JSON reporter.
 */
const project = join(import.meta.dirname, '..');
const page = join(project, 'docs/compatibility.md');

interface Report {
  readonly passes: readonly { readonly fullTitle: string }[];
  readonly failures: readonly { readonly fullTitle: string }[];
}

function runTests(): Report {
  const directory = mkdtempSync(join(tmpdir(), 'tsbuild-compatibility-'));
  try {
    const file = join(directory, 'report.json');
    const args = ['mocha', 'test/**/*.test.ts', '--reporter', 'json', '--reporter-option', `output=${file}`];
    spawnSync('npx', args, { cwd: project, stdio: ['ignore', 'ignore', 'inherit'] });
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const given = process.argv[2];
const report = given === undefined ? runTests() : (JSON.parse(readFileSync(given, 'utf8')) as Report);
const text = readFileSync(page, 'utf8');
const start = '<!-- made by scripts/compatibility.ts -->\n';
const end = '<!-- end -->\n';
const rows = FEATURES.map(({ section, name, tests }) => {
  const matching = (list: Report['passes']) =>
    list.filter(({ fullTitle }) => tests.some((test) => test.test(fullTitle))).length;
  const [passed, failed] = [matching(report.passes), matching(report.failures)];
  const isThere =
    passed > 0 && failed === 0 && tests.every((test) => report.passes.some((p) => test.test(p.fullTitle)));
  return {
    section,
    line: `| ${name} | ${isThere ? 'Y' : 'N'} | ${passed}${failed > 0 ? `, ${failed} fail` : ''} |`,
  };
});
const tables = [...new Set(rows.map((row) => row.section))].map((section) => {
  const lines = rows.filter((row) => row.section === section).map((row) => row.line);
  return [
    `### ${section}`,
    '',
    '| feature of BuildKit | tsbuild | tests |',
    '|---|---|---|',
    ...lines,
    '',
  ].join('\n');
});
const made = `${start}\n${tables.join('\n')}\n${end}`;
writeFileSync(page, text.slice(0, text.indexOf(start)) + made + text.slice(text.indexOf(end) + end.length));
execFileSync('npx', ['prettier', '--write', '--log-level', 'warn', page], { cwd: project });
const missing = rows.filter((row) => row.line.includes('| N |'));
console.log(`${rows.length} features, ${rows.length - missing.length} with passing tests`);
for (const { line } of missing) console.log(line);
