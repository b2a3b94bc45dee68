import type { Capability } from './capabilities.js';
import {
  ALLOWED,
  ALLOWED_WITH,
  ARCHITECTURES,
  DENIED_SOCKET_DOMAINS,
  PERSONALITIES,
} from './seccomp-syscalls.js';

const EPERM = 1;
const ENOSYS = 38;
const NEW_NAMESPACES = 0x7e020000;
const LAST_SOCKET_DOMAIN = 45;

interface Rule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly { index: number; value: number; valueTwo?: number; op: string }[];
}

const profiles = new Map<string, object>();

/**
 * Docker's default filter of system calls for a process with these capabilities, in the OCI form: what is not named fails with EPERM.
 * The same object each time.
 */
export function seccompProfile(
  capabilities: readonly Capability[],
  architecture: NodeJS.Architecture = process.arch,
): object {
  const key = [architecture, ...capabilities].join(' ');
  let profile = profiles.get(key);
  if (!profile) profiles.set(key, (profile = makeProfile(capabilities, architecture)));
  return profile;
}

function makeProfile(capabilities: readonly Capability[], architecture: NodeJS.Architecture): object {
  const machine = ARCHITECTURES[architecture];
  const byCapability = capabilities.flatMap((capability) => ALLOWED_WITH[capability] ?? []);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    ...(machine ? { architectures: machine.names } : {}),
    syscalls: [
      allow([...new Set([...ALLOWED, ...(machine?.allowed ?? []), ...byCapability])]),
      ...(capabilities.includes('CAP_SYS_ADMIN') ? [] : cloneRules(architecture)),
      ...PERSONALITIES.map((value) => allowFor('personality', value, 'SCMP_CMP_EQ')),
      ...socketRules(),
    ],
  };
}

/** No namespaces. clone3 hides its flags behind a pointer: libc falls back to clone where it is told that there is no clone3. */
function cloneRules(architecture: NodeJS.Architecture): Rule[] {
  const index = architecture === 's390x' ? 1 : 0;
  return [
    {
      ...allow(['clone']),
      args: [{ index, value: NEW_NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
    },
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
  ];
}

/** Two comparisons of one argument are alternatives for runc, so a range is open at one end; the domains after it are named. */
function socketRules(): Rule[] {
  const firstDenied = Math.min(...DENIED_SOCKET_DOMAINS);
  const others = Array.from(
    { length: LAST_SOCKET_DOMAIN - firstDenied },
    (_, i) => firstDenied + 1 + i,
  ).filter((domain) => !DENIED_SOCKET_DOMAINS.has(domain));
  return [
    allowFor('socket', firstDenied, 'SCMP_CMP_LT'),
    ...others.map((domain) => allowFor('socket', domain, 'SCMP_CMP_EQ')),
  ];
}

function allow(names: readonly string[]): Rule {
  return { names, action: 'SCMP_ACT_ALLOW' };
}

function allowFor(name: string, value: number, op: string): Rule {
  return { ...allow([name]), args: [{ index: 0, value, op }] };
}
