import { expect } from 'chai';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCredentials } from '../../../src/oci/registry/credentials.js';
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
});
