import { expect } from 'chai';
import { BuildError } from '../../../src/errors.js';
import { homeOf, resolveUser } from '../../../src/worker/executor/user.js';

const FILES = {
  passwd:
    'root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\napp:x:1000:1001::/home/app:/bin/sh\nhomeless:x:7:7\n12:x:99:98::/twelve:\n',
  group: 'root:x:0:\nwheel:x:10:root,app\nvideo:x:27:other,app\napp:x:1001:\n',
};

describe('the user of a process', () => {
  const cases: [user: string, uid: number, gid: number, groups: number[]][] = [
    ['', 0, 0, [0, 10]],
    ['root', 0, 0, [0, 10]],
    ['0', 0, 0, [0, 10]],
    ['app', 1000, 1001, [1001, 10, 27]],
    ['1000', 1000, 1001, [1001, 10, 27]],
    ['1000:1000', 1000, 1000, [1000]],
    ['app:video', 1000, 27, [27]],
    ['app:27', 1000, 27, [27]],
    ['app:4242', 1000, 4242, [4242]],
    ['1000:wheel', 1000, 10, [10]],
    ['4242', 4242, 0, [0]],
    ['12', 99, 98, [98]],
    [':video', 0, 27, [27]],
  ];
  for (const [user, uid, gid, additionalGids] of cases) {
    it(`"${user}" is ${uid}:${gid} with the groups ${additionalGids.join(', ')}`, () => {
      expect(resolveUser(user, FILES)).to.deep.equal({ uid, gid, additionalGids });
    });
  }

  for (const user of ['nobody', 'nobody:0', 'app:nogroup', '4294967295', '0:2147483648']) {
    it(`"${user}" is refused`, () => {
      expect(() => resolveUser(user, FILES))
        .to.throw(BuildError)
        .with.property('code', 'USER_NOT_FOUND');
    });
  }

  it('is root where the image has no passwd', () => {
    expect(resolveUser('', { passwd: '', group: '' })).to.deep.equal({ uid: 0, gid: 0, additionalGids: [0] });
  });

  it('has the home directory of its uid, or the root directory', () => {
    expect([0, 1000, 7, 5].map((uid) => homeOf(uid, FILES.passwd))).to.deep.equal([
      '/root',
      '/home/app',
      '/',
      '/',
    ]);
  });
});
