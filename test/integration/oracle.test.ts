import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { type Engine, startEngine } from '../kit/engine.js';
import { differences, type ImageContent, readDockerArchive } from '../kit/image-tree.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { KNOWN_EVERYWHERE, ORACLE_CASES, type OracleCase } from './oracle-cases.js';

/**
 * Each case is built by tsbuild and by the BuildKit of a real dockerd from the same base image; files, config and history
 * must be equal. skopeo and umoci read both results.
 */
describe('an image equals the one that BuildKit builds', function () {
  this.timeout(180_000);
  let engine: Engine | undefined;
  const tsbuild = tsbuildIn(tmpDir());

  before(async function () {
    needs(
      this,
      'root',
      { program: 'dockerd' },
      { program: 'skopeo' },
      { program: 'umoci' },
      { program: 'busybox' },
    );
    engine = await startEngine();
    const context = makeContext({
      Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
      '.dockerignore': 'Dockerfile\n.dockerignore\n',
    });
    makeBaseRootfs(context);
    const archive = join(tmpDir(), 'base.tar');
    await tsbuild.must([
      'build',
      context,
      '-t',
      'base',
      '-o',
      `type=docker,dest=${archive}`,
      '-o',
      'type=image',
    ]);
    await engine.must('load', '-i', archive);
  });

  after(() => engine?.stop());

  for (const testCase of ORACLE_CASES) {
    it(testCase.name, async () => {
      const context = makeContext({ Dockerfile: testCase.dockerfile, ...testCase.files });
      if (testCase.prepare) execFileSync('/bin/sh', ['-ec', testCase.prepare], { cwd: context });
      const ours = await buildHere(testCase, context);
      const theirs = await buildThere(testCase, context);
      const known = [...Object.keys(testCase.known ?? {}), ...Object.keys(KNOWN_EVERYWHERE)].map(
        (pattern) => new RegExp(`^${pattern}$`, 's'),
      );
      const found = differences(comparable(ours), comparable(theirs)).filter(
        (line) => !known.some((pattern) => pattern.test(line)),
      );
      expect(found, 'tsbuild <> BuildKit').to.deep.equal([]);
    });
  }

  async function buildHere(testCase: OracleCase, context: string): Promise<ImageContent> {
    const archive = join(tmpDir(), 'ours.tar');
    await tsbuild.must([
      'build',
      context,
      ...(testCase.options ?? []),
      '-t',
      'oracle',
      '-o',
      `type=docker,dest=${archive}`,
    ]);
    return readDockerArchive(archive);
  }

  async function buildThere(testCase: OracleCase, context: string): Promise<ImageContent> {
    const archive = join(tmpDir(), 'theirs.tar');
    await engine!.must(
      'build',
      '-q',
      '--network',
      'host',
      ...(testCase.options ?? []),
      '-t',
      'oracle',
      context,
    );
    await engine!.must('save', 'oracle', '-o', archive);
    return readDockerArchive(archive);
  }
});

/** Without times, digests of layers and what the engine adds to every config. */
function comparable(image: ImageContent): Record<string, unknown> {
  const config = (image.config['config'] ?? {}) as Record<string, unknown>;
  const history = (image.config['history'] ?? []) as Record<string, unknown>[];
  return {
    config: Object.fromEntries(
      [
        'User',
        'ExposedPorts',
        'Env',
        'Entrypoint',
        'Cmd',
        'Volumes',
        'WorkingDir',
        'Labels',
        'StopSignal',
        'Healthcheck',
        'OnBuild',
        'Shell',
        'ArgsEscaped',
      ].map((key) => [key, config[key] ?? undefined]),
    ),
    author: image.config['author'],
    os: image.config['os'],
    architecture: image.config['architecture'],
    history: Object.fromEntries(
      history.map((entry, i) => [
        String(i),
        { by: entry['created_by'], comment: entry['comment'], empty: entry['empty_layer'] ?? false },
      ]),
    ),
    layers: image.layers,
    tree: image.tree,
  };
}

describe('the comparison itself', () => {
  it('reports a difference in a file, a mode and a config', () => {
    const a = { config: { Env: ['A=1'] }, tree: { '/f': { mode: '644' } } };
    const b = { config: { Env: ['A=2'] }, tree: { '/f': { mode: '600' }, '/g': { mode: '644' } } };
    expect(differences(a, b)).to.have.length(3);
  });
});
