import { expect } from 'chai';
import { proxyPasswords } from '../../../src/secrets/proxy-passwords.js';

describe('passwords of proxies', () => {
  const found = (env: Record<string, string>) => proxyPasswords(env).map(([, value]) => value.toString());

  it('are found with and without a scheme, written and decoded', () => {
    expect(found({ HTTP_PROXY: 'http://u:p%2Fw@host:1' })).to.deep.equal(['p%2Fw', 'p/w']);
    expect(found({ https_proxy: 'u:pw:x@host' })).to.deep.equal(['pw:x']);
    expect(found({ ALL_PROXY: 'socks5h://:pw@host/' })).to.deep.equal(['pw']);
    expect(found({ ftp_proxy: 'http://u:%zz@host' })).to.deep.equal(['%zz']);
  });

  it('are not where there is none, nor in other variables', () => {
    expect(
      found({ HTTP_PROXY: 'http://host:80/', NO_PROXY: 'u:p@host', HTTPS_PROXY: 'http://u@host' }),
    ).to.deep.equal([]);
  });
});
