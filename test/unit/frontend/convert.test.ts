import { expect } from 'chai';
import type { BuildError } from '../../../src/errors.js';
import type { ConvertOptions, FrontendResult } from '../../../src/frontend/convert.js';
import type { ExecOp, FileOp } from '../../../src/graph/op.js';
import { convertText, imageResolver as resolver } from './convert-text.js';

const convert = convertText;

async function configOf(text: string, more: Partial<ConvertOptions> = {}) {
  return (await convert(text, more)).targets[0]!.config;
}

const runs = (result: FrontendResult) =>
  [...result.definition.vertices.values()]
    .filter((vertex) => vertex.op.kind === 'exec')
    .map((vertex) => vertex.op as ExecOp);

async function failure(text: string, more: Partial<ConvertOptions> = {}): Promise<BuildError> {
  try {
    await convert(text, more);
  } catch (error) {
    return error as BuildError;
  }
  throw new Error('expected an error');
}

describe('a Dockerfile as a build definition', () => {
  it('resolves and converts only the stages that the target reaches', async () => {
    const asked: string[] = [];
    const result = await convert(
      'FROM one AS a\nRUN a\nFROM two AS b\nRUN b\nFROM three\nCOPY --from=a /x /y\n',
      { imageResolver: resolver({}, asked) },
    );
    expect(asked.sort()).to.deep.equal(['one', 'three']);
    expect(runs(result)).to.have.length(1);
  });

  it('gives ARG the command line, its default, the global value, or nothing', async () => {
    const text = 'ARG G=global\nARG U\nFROM x\nARG G\nARG D=default\nARG D2=default\nARG U\nRUN true\n';
    const [run] = runs(await convert(text, { buildArgs: { D2: 'given' } }));
    expect(run!.env.filter((entry) => !entry.startsWith('PATH='))).to.deep.equal([
      'G=global',
      'D=default',
      'D2=given',
    ]);
  });

  it('knows the platform ARGs, in FROM and, once declared, in a stage', async () => {
    const asked: string[] = [];
    const [run] = runs(
      await convert('FROM img-$TARGETARCH\nARG TARGETPLATFORM\nRUN x\n', {
        imageResolver: resolver({}, asked),
      }),
    );
    expect(asked).to.deep.equal(['img-amd64']);
    expect(run!.env).to.include('TARGETPLATFORM=linux/amd64');
  });

  it('lets ENV values see the variables before their instruction', async () => {
    const config = await configOf('FROM scratch\nENV A=1\nENV A=2 B=$A\n');
    expect(config.config!.Env!.slice(1)).to.deep.equal(['A=2', 'B=1']);
  });

  it('wraps shell form in SHELL, for CMD and ENTRYPOINT too', async () => {
    const result = await convert('FROM x\nSHELL ["/bin/bash", "-c"]\nRUN a  b\nCMD c d\nENTRYPOINT ["e"]\n');
    expect(runs(result)[0]!.args).to.deep.equal(['/bin/bash', '-c', 'a  b']);
    expect(result.targets[0]!.config.config).to.deep.include({
      Cmd: ['/bin/bash', '-c', 'c d'],
      Entrypoint: ['e'],
    });
  });

  it('takes an inherited CMD away with ENTRYPOINT, and keeps its own', async () => {
    const base = { imageResolver: resolver({ config: { Cmd: ['base'] } }) };
    expect((await configOf('FROM x\nENTRYPOINT ["e"]\n', base)).config!.Cmd).to.equal(undefined);
    expect((await configOf('FROM x\nCMD ["own"]\nENTRYPOINT ["e"]\n', base)).config!.Cmd).to.deep.equal([
      'own',
    ]);
  });

  it('runs the ONBUILD triggers of a base once, before its own instructions', async () => {
    const base = { imageResolver: resolver({ config: { OnBuild: ['RUN first', 'ENV T=1'] } }) };
    const result = await convert('FROM x\nRUN second\n', base);
    expect(runs(result).map((run) => run.args.at(-1))).to.deep.equal(['first', 'second']);
    expect(result.targets[0]!.config.config!.OnBuild).to.equal(undefined);
  });

  it('makes WORKDIR a layer of its own, owned by USER, and joins relative paths', async () => {
    const result = await convert('FROM x\nUSER me:us\nWORKDIR /a\nWORKDIR b\n');
    const actions = [...result.definition.vertices.values()].flatMap((vertex) =>
      vertex.op.kind === 'file' ? (vertex.op as FileOp).actions : [],
    );
    expect(actions).to.deep.equal(
      ['/a', '/a/b'].map((path) => ({
        kind: 'mkdir',
        path,
        mode: 0o755,
        owner: { user: 'me', group: 'us' },
      })),
    );
  });

  it('writes one history entry with a layer for each vertex that makes one', async () => {
    const { history } = await configOf(
      'FROM x\nARG V=1\nRUN r\nLABEL a=b\nCOPY f /\nEXPOSE 80-81\nCMD ["c"]\n',
    );
    expect(history!.map((entry) => [entry.created_by, entry.empty_layer ?? false])).to.deep.equal([
      ['base', false],
      ['ARG V=1', true],
      ['RUN |1 V=1 /bin/sh -c r # buildkit', false],
      ['LABEL a=b', true],
      ['COPY f / # buildkit', false],
      ['EXPOSE [80/tcp 81/tcp]', true],
      ['CMD ["c"]', true],
    ]);
  });

  it('gives a heredoc script to the shell, or runs it as a file where it starts with #!', async () => {
    const result = await convert('FROM x\nRUN <<EOF\necho 1\nEOF\nRUN <<EOF\n#!/bin/x\nEOF\n');
    expect(runs(result)[0]!.args).to.deep.equal(['/bin/sh', '-c', 'echo 1\n']);
    expect(runs(result)[1]!.mounts).to.have.length(1);
  });

  it('keeps proxy variables out of the op', async () => {
    const result = await convert('FROM x\nRUN r\n', { buildArgs: { http_proxy: 'p' } });
    expect(runs(result)[0]!.env.some((entry) => /proxy/i.test(entry))).to.equal(false);
    const vertex = result.definition.vertices.get(result.targets[0]!.head!.vertex)!;
    expect(vertex.options.proxyEnv).to.deep.equal(['HTTP_PROXY=p', 'http_proxy=p']);
  });

  for (const [what, text, code, line, words] of [
    ['an unknown instruction', 'FROM x\nRUM y\n', 'UNKNOWN_INSTRUCTION', 2, 'RUN'],
    ['an unknown flag', 'FROM x\nCOPY --form=a b c\n', 'UNKNOWN_FLAG', 2, '--from'],
    ['a missing stage', 'FROM x AS build\nFROM x\nCOPY --from=9 a b\n', 'STAGE_NOT_FOUND', 3, 'build'],
    [
      'a later stage',
      'FROM x\nCOPY --from=late a b\nFROM x AS late\nFROM x\nCOPY --from=0 a b\n',
      'STAGE_CYCLE',
      2,
      'move',
    ],
    ['an instruction before FROM', 'RUN x\nFROM y\n', 'DOCKERFILE_SYNTAX', 1, 'FROM'],
    ['a blank base', 'ARG B\nFROM $B\n', 'INVALID_VALUE', 2, '--build-arg'],
    ['a bad port', 'FROM x\nEXPOSE 99999\n', 'INVALID_VALUE', 2, 'range'],
    ['a bad mode', 'FROM x\nCOPY --chmod=999 a b\n', 'INVALID_VALUE', 2, 'octal'],
    ['a bad signal', 'FROM x\nSTOPSIGNAL SIGNOPE\n', 'INVALID_VALUE', 2, 'SIGTERM'],
    ['a bad stage name', 'FROM x AS 1a\n', 'INVALID_VALUE', 1, 'letter'],
    ['ONBUILD of ONBUILD', 'FROM x\nONBUILD ONBUILD RUN y\n', 'DOCKERFILE_SYNTAX', 2, ''],
  ] as const) {
    it(`refuses ${what} with the place and a way out`, async () => {
      const error = await failure(text);
      expect(error.code).to.equal(code);
      expect(error.location?.startLine).to.equal(line);
      expect(`${error.message} ${error.hint}`).to.contain(words);
    });
  }

  it('refuses a target that does not exist', async () => {
    expect((await failure('FROM x AS build\n', { target: 'bulid' })).message).to.contain(
      'did you mean "build"',
    );
  });
});
