import { expect } from 'chai';
import { parseCacheOption } from '../../../src/cli/cache-option.js';
import { BuildError } from '../../../src/errors.js';

describe('--cache-from and --cache-to', () => {
  it('take a name alone for a registry', () => {
    expect(parseCacheOption('user/app:cache', 'from')).to.deep.equal({
      type: 'registry',
      attributes: { ref: 'user/app:cache' },
    });
  });

  it('take CSV with keys in any case', () => {
    expect(parseCacheOption('type=local,Dest=/a=b,mode=max', 'to')).to.deep.equal({
      type: 'local',
      attributes: { dest: '/a=b', mode: 'max' },
    });
  });

  it('join a key that comes twice, and take a quoted comma', () => {
    const twice = parseCacheOption('type=gha,mounts=npm,mounts=go', 'to');
    const quoted = parseCacheOption('type=gha,"mounts=npm,go"', 'to');
    expect(twice).to.deep.equal(quoted).and.to.have.nested.property('attributes.mounts', 'npm,go');
  });

  for (const text of ['mode=max', 'type=regisry,ref=x', 'type=local,dest'])
    it(`refuse "${text}"`, () => {
      expect(() => parseCacheOption(text, 'to'))
        .to.throw(BuildError)
        .with.property('code', 'USAGE');
    });

  it('keep secrets out of the message', () => {
    let message = '';
    try {
      parseCacheOption('type=s33,bucket=b,secret_access_key=hush,session_token=hush', 'to');
    } catch (error) {
      message = String(error);
    }
    expect(message).to.contain('bucket=b').and.not.contain('hush');
  });
});
