import { expect } from 'chai';
import { parseOutput } from '../../../src/cli/output-option.js';
import { parseSecret } from '../../../src/cli/secret-option.js';

describe('--output', () => {
  for (const [text, spec] of [
    ['-', { type: 'tar', dest: '-' }],
    ['out', { type: 'local', dest: 'out' }],
    ['type=docker', { type: 'docker' }],
    ['type=docker,dest=', { type: 'docker' }],
    ['type=docker,dest=a.tar', { type: 'docker', dest: 'a.tar' }],
    [
      'type=oci,dest=d,tar=false,compression=zstd,force-compression',
      { type: 'oci', dest: 'd', tar: false, compression: 'zstd', forceCompression: true },
    ],
    ['type=image,"name=a,b",push=true', { type: 'image', names: ['a', 'b'], push: true }],
    [
      'type=registry,annotation.k=v,oci-mediatypes=false',
      { type: 'registry', annotations: { k: 'v' }, ociMediaTypes: false },
    ],
  ] as const) {
    it(`reads ${text}`, () => {
      expect(parseOutput(text)).to.deep.equal(spec);
    });
  }

  for (const [text, message] of [
    ['type=dokcer,dest=x', 'did you mean "docker"'],
    ['dest=x', 'it has no type'],
    ['type=oci,dset=x', 'did you mean "dest"'],
    ['type=oci,tar=maybe', 'true or false'],
    ['type=oci,compression=gzp', 'did you mean "gzip"'],
  ] as const) {
    it(`refuses ${text}`, () => {
      expect(() => parseOutput(text)).to.throw(message);
    });
  }
});

describe('--secret', () => {
  for (const [text, origin] of [
    ['id=a,src=f', { file: 'f' }],
    ['id=a,env=E', { env: 'E' }],
    ['id=a,type=env', { env: 'a' }],
    ['id=PATH', { env: 'PATH' }],
    ['id=no-such-variable', { file: 'no-such-variable' }],
  ] as const) {
    it(`reads ${text}`, () => {
      expect(parseSecret(text)[1]).to.deep.equal(origin);
    });
  }

  it('refuses what has no id and what it does not know', () => {
    expect(() => parseSecret('src=f')).to.throw('no id');
    expect(() => parseSecret('id=a,scr=f')).to.throw('not known');
  });
});
