import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BuildError } from '../../../src/errors.js';
import { findCredentials } from '../../../src/oci/registry/credentials.js';
import { PROJECT } from '../../kit/cli.js';
import { codeOf } from '../../kit/code-of.js';
import { tmpDir } from '../../kit/tmp-dir.js';

/** A Docker config folder with that config.json, and a credential helper "real" on PATH. */
function dockerConfig(config: unknown): NodeJS.ProcessEnv {
  const dir = tmpDir();
  writeFileSync(join(dir, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  const helper = join(dir, 'docker-credential-real');
  writeFileSync(
    helper,
    '#!/bin/sh\nread server\ncase "$server" in\nhelped.example) echo \'{"ServerURL":"","Username":"from-helper","Secret":"s"}\' ;;\ntoken.example) echo \'{"Username":"<token>","Secret":"t"}\' ;;\n*) echo "credentials not found in native keychain"; exit 1 ;;\nesac\n',
  );
  chmodSync(helper, 0o755);
  return { DOCKER_CONFIG: dir, PATH: `${dir}:${process.env['PATH']}` };
}

const auth = Buffer.from('user:pass:word').toString('base64');

describe('credentials of a registry', () => {
  it('are none without a config file', async () => {
    expect(await findCredentials('x.example', { DOCKER_CONFIG: tmpDir() })).to.equal(undefined);
  });

  for (const key of ['x.example', 'https://x.example', 'https://x.example/v2/']) {
    it(`come from config.json under "${key}"`, async () => {
      const found = await findCredentials('x.example', dockerConfig({ auths: { [key]: { auth } } }));
      expect(found).to.include({ username: 'user', password: 'pass:word' });
    });
  }

  it('of Docker Hub stand under its old address', async () => {
    const env = dockerConfig({ auths: { 'https://index.docker.io/v1/': { auth } } });
    expect((await findCredentials('docker.io', env))?.username).to.equal('user');
    expect(await findCredentials('other.example', env)).to.equal(undefined);
  });

  it('come from a helper for that registry, and from the one for all', async () => {
    const own = dockerConfig({ credHelpers: { 'helped.example': 'real' } });
    expect((await findCredentials('helped.example', own))?.username).to.equal('from-helper');
    const all = dockerConfig({ credsStore: 'real', auths: { 'x.example': { auth } } });
    expect((await findCredentials('helped.example', all))?.username).to.equal('from-helper');
    expect((await findCredentials('x.example', all))?.username).to.equal('user');
  });

  it('may be an identity token', async () => {
    const env = dockerConfig({ credsStore: 'real' });
    expect((await findCredentials('token.example', env))?.identityToken).to.equal('t');
  });

  it('end in an error where the file or the helper is broken', async () => {
    expect(await codeOf(findCredentials('x', dockerConfig('{')))).to.equal('CREDENTIALS_FAILED');
    const env = dockerConfig({ credHelpers: { 'x.example': 'missing' } });
    expect(await codeOf(findCredentials('x.example', env))).to.equal('CREDENTIALS_FAILED');
  });

  const deep = `{"auths":${'['.repeat(100_000)}`;
  for (const [what, config, said] of [
    ['is huge', `{"auths":{},"x":"${'y'.repeat(2 << 20)}"}`, 'has 2097'],
    ['is deep', deep, 'nested too deep'],
    ['is a list', '[]', 'the file is no mapping'],
    ['is null', 'null', 'the file is no mapping'],
    ['has a list of entries', '{"auths":[]}', '"auths" is no mapping'],
    ['has a text as an entry', '{"auths":{"x.example":"s3cret"}}', 'the entry of "x.example" is no mapping'],
    ['has a number as a password', '{"auths":{"x.example":{"auth":47110815}}}', '"auth" of "x.example"'],
    ['has helpers that are lists', '{"credHelpers":{"x.example":["a"]}}', 'a helper of "x.example"'],
    ['has a helper that is elsewhere', '{"credHelpers":{"x.example":"/../x"}}', 'a name with a slash'],
    ['has a mapping as the helper for all', '{"credsStore":{}}', '"credsStore" that is no text'],
    ['is broken behind a password', '{"auths":{"x.example":{"password":"s3cret"}', 'is not valid JSON'],
  ] as const) {
    it(`end in an error that shows no password where the file ${what}`, async () => {
      const error = await failure(dockerConfig(config));
      expect([error.code, error.cause]).to.deep.equal(['CREDENTIALS_FAILED', undefined]);
      expect(error.message).to.contain(said);
      expect(error.message).to.not.match(/s3cret|4711/);
    });
  }

  it('are not waited for where the file is a fifo', async () => {
    const dir = tmpDir();
    execFileSync('mkfifo', [join(dir, 'config.json')]);
    expect(await findCredentials('x.example', { DOCKER_CONFIG: dir })).to.equal(undefined);
  });

  for (const [what, script, said] of [
    ['prints no JSON', 'echo s3cret', 'answered with no JSON'],
    ['prints JSON of another kind', 'echo \'["s3cret"]\'', 'answered with no JSON'],
    ['prints null', 'echo null', 'answered with no JSON'],
    ['gives numbers', 'echo \'{"Username":1,"Secret":2}\'', 'answered with no JSON'],
    ['prints without end', 'exec yes s3cret', 'more than 1048576 bytes'],
    ['fails', 'echo s3cret; exit 3', 'ended with status 3'],
    ['is killed', 'kill -9 $$', 'ended with status null'],
  ] as const) {
    it(`end in an error that shows no password where the helper ${what}`, async () => {
      const env = dockerConfig({ credsStore: 'wrong' });
      writeFileSync(join(env['DOCKER_CONFIG']!, 'docker-credential-wrong'), `#!/bin/sh\n${script}\n`, {
        mode: 0o755,
      });
      const error = await failure(env);
      expect([error.code, error.cause]).to.deep.equal(['CREDENTIALS_FAILED', undefined]);
      expect(error.message).to.contain(said).and.to.not.contain('s3cret');
    });
  }

  it('are given up where the helper hangs, with what it started', () => {
    const env = dockerConfig({ credsStore: 'wrong' });
    const helper = join(env['DOCKER_CONFIG']!, 'docker-credential-wrong');
    writeFileSync(helper, '#!/bin/sh\nsleep 4714 & wait\n', { mode: 0o755 });
    const url = pathToFileURL(join(PROJECT, 'src/oci/registry/credentials.ts')).href;
    const script = `import('${url}').then((m) => m.findCredentials('x.example')).catch((e) => console.log(e.code, e.message))`;
    const started = performance.now();
    const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
      cwd: PROJECT,
      env: { ...process.env, ...env, TSBUILD_LIMITS: 'helperMs=300' },
      encoding: 'utf8',
    });
    expect(stdout).to.contain('CREDENTIALS_FAILED').and.to.contain('has not answered in 0.3 s');
    expect(performance.now() - started).to.be.lessThan(30_000);
    expect(spawnSync('pgrep', ['-f', '^sleep 4714$']).status).to.equal(1);
  });
});

async function failure(env: NodeJS.ProcessEnv): Promise<BuildError> {
  try {
    await findCredentials('x.example', env);
  } catch (error) {
    return error as BuildError;
  }
  throw new Error('no error came');
}
