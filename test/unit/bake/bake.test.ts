import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { overridesOf, parseList } from '../../../src/cli/commands/bake.js';
import { formatTargets, formatVariables } from '../../../src/bake/list.js';
import { BuildError } from '../../../src/errors.js';
import { BAKE_CASES, type BakeCase } from './bake-cases.js';
import { readBake } from '../../../src/bake/read-bake.js';
import { resolvePlan } from '../../../src/bake/resolve.js';
import { formatPlan } from '../../../src/bake/target.js';
import { tmpDir } from '../../kit/tmp-dir.js';

interface Recorded {
  readonly status: number;
  readonly stdout: string;
  readonly error?: string;
}

/** What buildx 0.29.1 printed: scripts/record-bake.ts. */
const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'recorded.json'), 'utf8')) as Readonly<
  Record<string, Recorded>
>;

/** Where tsbuild says no and buildx passes over what is written. */
const REFUSED: Readonly<Record<string, string>> = { 'an unknown key': 'BAKE_INVALID' };

async function bakeOutput(
  { files, args = ['--print'], env = {} }: BakeCase,
  directory: string,
): Promise<string> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      file: { type: 'string', short: 'f', multiple: true },
      set: { type: 'string', multiple: true },
      list: { type: 'string' },
      provenance: { type: 'string' },
      sbom: { type: 'string' },
      print: { type: 'boolean' },
      'no-cache': { type: 'boolean' },
      pull: { type: 'boolean' },
      push: { type: 'boolean' },
      load: { type: 'boolean' },
    },
  });
  const definitions = await readBake({
    files: values.file ?? [],
    directory,
    variables: new Map(),
    env,
    localPlatform: 'linux/amd64',
  });
  if (values.list !== undefined) {
    const { what, isJson } = parseList(values.list);
    return (what === 'targets' ? formatTargets : formatVariables)(definitions, isJson);
  }
  const { 'no-cache': noCache, ...flags } = values;
  const asked = positionals.length > 0 ? positionals : ['default'];
  return formatPlan(resolvePlan(definitions, asked, overridesOf({ ...flags, cache: !noCache }), env));
}

describe('bake prints what buildx prints', () => {
  for (const one of BAKE_CASES) {
    const result = recorded[one.name];
    if (result?.status === 0 && !REFUSED[one.name])
      it(one.name, async () => {
        expect(await bakeOutput(one, tmpDir())).to.equal(result.stdout);
      });
  }

  it('and each case is recorded', () => {
    expect(Object.keys(recorded)).to.have.members(BAKE_CASES.map(({ name }) => name));
  });
});

describe('bake refuses what buildx refuses', () => {
  for (const one of BAKE_CASES) {
    const result = recorded[one.name];
    if (!result || (result.status === 0 && !REFUSED[one.name])) continue;
    it(one.name, async () => {
      const error = await bakeOutput(one, tmpDir()).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(BuildError);
      const { code, location } = error as BuildError;
      expect(code).to.match(/^(BAKE_|USAGE)/);
      if (REFUSED[one.name]) expect(code).to.equal(REFUSED[one.name]);
      const line = /:(\d+),\d+-/.exec(result.error ?? '')?.[1];
      if (line !== undefined) expect(location?.startLine).to.be.a('number');
    });
  }
});

describe('errors of bake files', () => {
  const errorOf = async (text: string, args: readonly string[] = ['--print']): Promise<BuildError> => {
    const one = { name: '', files: { 'docker-bake.hcl': text }, args };
    const reason = await bakeOutput(one, tmpDir()).catch((error: unknown) => error);
    expect(reason).to.be.instanceOf(BuildError);
    return reason as BuildError;
  };

  it('name file, line and column, mark the word and say the nearest name', async () => {
    const { message, hint, location, source } = await errorOf(
      'variable "VERSION" { default = "1" }\ntarget "default" {\n  tags = ["a:${VERSOIN}"]\n}\n',
    );
    expect(message).to.equal('docker-bake.hcl:3:16: there is no variable "VERSOIN"');
    expect(hint).to.equal('did you mean "VERSION"?');
    expect(location?.word).to.deep.equal({ line: 3, startColumn: 16, endColumn: 23 });
    expect(source?.name).to.equal('docker-bake.hcl');
  });

  it('say the nearest key', async () => {
    const { message, hint } = await errorOf('target "default" {\n  tgas = ["a"]\n}\n');
    expect([message, hint]).to.deep.equal([
      'docker-bake.hcl:2:3: a target has no key "tgas"',
      'did you mean "tags"?',
    ]);
  });

  it('show the circle of variables', async () => {
    const { message } = await errorOf('A = B\nB = "${C}"\nC = A\ntarget "default" {}\n');
    expect(message).to.contain('A -> B -> C -> A');
  });

  it('show the circle of targets that inherit', async () => {
    const { code, message } = await errorOf(
      'target "default" { inherits = ["b"] }\ntarget "b" { inherits = ["default"] }\n',
    );
    expect([code, message]).to.deep.equal([
      'BAKE_INVALID',
      'the target "default" inherits itself: default -> b -> default',
    ]);
  });

  it('show the circle of groups', async () => {
    const { message } = await errorOf(
      'group "default" { targets = ["g"] }\ngroup "g" { targets = ["default"] }\n',
    );
    expect(message).to.contain('default -> g -> default');
  });

  it('list the targets where one is unknown', async () => {
    const { code, message, hint } = await errorOf('target "app" {}\ntarget "web" {}\n', ['--print', 'wbe']);
    expect([code, message, hint]).to.deep.equal([
      'BAKE_NOT_FOUND',
      'there is no target "wbe"; did you mean "web"?',
      'there are app, web',
    ]);
  });

  it('stop where expressions nest without end', async () => {
    const { code } = await errorOf(`target "default" { context = ${'('.repeat(100_000)} }\n`);
    expect(code).to.equal('BAKE_SYNTAX');
  });

  it('have the place in compose files', async () => {
    const compose = 'services:\n  app:\n    build:\n      contxt: .\n';
    const one = { name: '', files: { 'compose.yaml': compose } };
    const reason = (await bakeOutput(one, tmpDir()).catch((error: unknown) => error)) as BuildError;
    expect(reason.message).to.equal(
      'compose.yaml:4:7: services.app.build.contxt: a build has no key "contxt", or tsbuild does not know it',
    );
  });

  it('are at the text in JSON, wherever in it they are', async () => {
    const text = '{"target": {"default": {\n  "tags": ["a\\n${nope}"]\n}}}';
    const one = { name: '', files: { 'docker-bake.json': text } };
    const reason = (await bakeOutput(one, tmpDir()).catch((error: unknown) => error)) as BuildError;
    expect(reason.message).to.equal('docker-bake.json:2:12: there is no variable "nope"');
  });

  it('have a code whatever is cut out of a file or doubled in it', async () => {
    const directory = tmpDir();
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    let refused = 0;
    for (const one of BAKE_CASES.flatMap((each) => Array<BakeCase>(20).fill(each))) {
      const [name, text] = Object.entries(one.files)[0]!;
      const [from, length] = [random(text.length), random(12)];
      const cut = random(2) ? text.slice(from, from + length).repeat(2) : '';
      const changed = text.slice(0, from) + cut + text.slice(from + length);
      const mutant = { ...one, files: { ...one.files, [name]: changed } };
      const error = await bakeOutput(mutant, directory).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      // By name: what is imported late has another copy of the class when the tests run from source.
      if (error !== undefined && (error as Error).name !== 'BuildError')
        throw new Error(changed, { cause: error });
      if (error) refused += 1;
    }
    expect(refused).to.be.greaterThan(300);
  });
});
