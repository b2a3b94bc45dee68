import { expect } from 'chai';
import { resolvConf } from '../../../src/worker/network/resolv-conf.js';

describe('resolv.conf of a process', () => {
  const files = (contents: Readonly<Record<string, string>>) => (path: string) => contents[path];
  const own = '/etc/resolv.conf';

  it("is the host's own in the host's network", () => {
    const text = '# made by hand\nnameserver 127.0.0.1\n';
    expect(resolvConf('host', files({ [own]: text }))).to.equal(text);
  });

  it('leaves out servers on loopback, and keeps search and options', () => {
    const text =
      'nameserver 127.0.0.1\nnameserver 10.1.1.1\nnameserver ::1\nsearch a.example b\noptions ndots:2\n';
    expect(resolvConf('routed', files({ [own]: text }))).to.equal(
      'nameserver 10.1.1.1\nsearch a.example b\noptions ndots:2\n',
    );
  });

  it('asks the servers behind the stub of systemd-resolved', () => {
    const contents = {
      [own]: 'nameserver 127.0.0.53\noptions edns0\n',
      '/run/systemd/resolve/resolv.conf': 'nameserver 192.0.2.53\nsearch lan\n',
    };
    expect(resolvConf('routed', files(contents))).to.equal('nameserver 192.0.2.53\nsearch lan\n');
  });

  it("takes Docker's public servers where the host has none that can be reached", () => {
    const expected = 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n';
    expect(resolvConf('routed', files({ [own]: 'nameserver 127.0.0.53\n' }))).to.equal(expected);
    expect(resolvConf('routed', files({}))).to.equal(expected);
  });

  it('asks the one server of a network that has its own', () => {
    const text = 'nameserver 10.1.1.1\nsearch lan\n';
    expect(resolvConf({ address: '10.0.2.3' }, files({ [own]: text }))).to.equal(
      'nameserver 10.0.2.3\nsearch lan\n',
    );
  });
});
