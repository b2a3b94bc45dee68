import { expect } from 'chai';
import { CAPABILITIES } from '../../../src/worker/executor/capabilities.js';
import { seccompProfile } from '../../../src/worker/executor/seccomp.js';

interface Profile {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly {
    names: readonly string[];
    action: string;
    errnoRet?: number;
    args?: readonly { index: number; value: number; op: string }[];
  }[];
}

const profile = (...args: Parameters<typeof seccompProfile>) => seccompProfile(...args) as Profile;

describe('the filter of system calls', () => {
  const rulesFor = (name: string, of: Profile) => of.syscalls.filter((rule) => rule.names.includes(name));
  const isAllowed = (name: string, of: Profile) =>
    rulesFor(name, of).some((rule) => rule.action === 'SCMP_ACT_ALLOW' && !rule.args);

  it('denies what it does not name', () => {
    const { defaultAction, defaultErrnoRet } = profile([]);
    expect([defaultAction, defaultErrnoRet]).to.deep.equal(['SCMP_ACT_ERRNO', 1]);
    for (const name of ['bpf', 'mount', 'unshare', 'keyctl', 'io_uring_setup', 'userfaultfd', 'chroot']) {
      expect(isAllowed(name, profile([])), name).to.equal(false);
    }
  });

  it('names no call twice without arguments', () => {
    const plain = profile([]).syscalls.filter((rule) => !rule.args);
    const names = plain.flatMap((rule) => rule.names);
    expect(new Set(names)).to.have.length(names.length);
    expect(names.every((name) => /^_?[a-z0-9_]+$/.test(name))).to.equal(true);
  });

  it('allows more to who has the capability', () => {
    expect(isAllowed('chroot', profile(['CAP_SYS_CHROOT']))).to.equal(true);
    for (const name of ['mount', 'clone', 'clone3', 'bpf']) {
      expect(isAllowed(name, profile(['CAP_SYS_ADMIN'])), name).to.equal(true);
    }
    const never = ['kexec_load', 'keyctl', 'swapon', 'create_module', 'io_uring_setup', 'userfaultfd'];
    for (const name of never) expect(isAllowed(name, profile(CAPABILITIES)), name).to.equal(false);
  });

  it('lets clone make threads and processes, not namespaces, and hides clone3', () => {
    const [clone] = rulesFor('clone', profile([]));
    expect(clone!.args).to.deep.equal([
      { index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' },
    ]);
    expect(rulesFor('clone', profile([], 's390x'))[0]!.args![0]!.index).to.equal(1);
    expect(rulesFor('clone3', profile([]))[0]).to.deep.include({ action: 'SCMP_ACT_ERRNO', errnoRet: 38 });
  });

  it('looks at the values of personality and the domains of sockets', () => {
    const values = (name: string) =>
      rulesFor(name, profile([])).map(
        ({ args }) => `${args![0]!.op.slice('SCMP_CMP_'.length)} ${args![0]!.value}`,
      );
    expect(values('personality')).to.deep.equal(['EQ 0', 'EQ 8', 'EQ 131072', 'EQ 131080', 'EQ 4294967295']);
    expect(values('socket')).to.include.members(['LT 12', 'EQ 13', 'EQ 16', 'EQ 17', 'EQ 45']);
    const [decnet, kernelCryptography, virtualMachines] = ['EQ 12', 'EQ 38', 'EQ 40'];
    expect(values('socket')).to.not.include.oneOf([decnet, kernelCryptography, virtualMachines]);
  });

  it('is for the machine and its 32-bit programs alone', () => {
    expect(profile([], 'x64').architectures).to.deep.equal(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
    expect(profile([], 'arm64').architectures).to.deep.equal(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
    expect(profile([], 'riscv64').architectures).to.deep.equal(['SCMP_ARCH_RISCV64']);
    expect(isAllowed('arch_prctl', profile([], 'x64'))).to.equal(true);
    expect(isAllowed('arch_prctl', profile([], 'arm64'))).to.equal(false);
  });
});
