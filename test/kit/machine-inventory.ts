import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a build, or a test, could leave on a machine: by kind, one line for each thing. */
export type MachineInventory = Readonly<Record<string, readonly string[]>>;

/** What belongs to tools that run the tests, not to the tests. */
const TOOLS = /^(tsx-|node-compile-cache|v8-compile-cache|npm-|\.npm|systemd-private-|tsbuild-test-cache$)/;

/** Takes rights over all processes to be complete. */
export function machineInventory(): MachineInventory {
  return {
    mount: lines(readText('/proc/self/mountinfo')).map((line) => line.split(' ').slice(4, 5).join()),
    process: processes().map(({ pid, command }) => `${pid} ${command}`),
    namespace: [...new Set(processes().flatMap(({ pid }) => namespacesOf(pid)))],
    'control group': directories('/sys/fs/cgroup', 6),
    'network device': names('/sys/class/net'),
    'firewall rule': firewallRules(),
    'lock of a network': names('/run/tsbuild/networks'),
    'network namespace with a name': [...names('/run/netns'), ...names('/run/docker/netns')],
    'temporary file': [tmpdir(), '/var/tmp', '/dev/shm'].flatMap((directory) =>
      names(directory)
        .filter((name) => !TOOLS.test(name))
        .map((name) => join(directory, name)),
    ),
    user: ['/etc/passwd', '/etc/subuid', '/etc/subgid'].flatMap((file) =>
      lines(readText(file)).map((line) => `${file}: ${line}`),
    ),
  };
}

/** `kind: thing` for all that is in the later inventory only. */
export function newIn(after: MachineInventory, before: MachineInventory): string[] {
  return Object.entries(after).flatMap(([kind, things]) => {
    const known = [...(before[kind] ?? [])];
    return things
      .filter((thing) => {
        const at = known.indexOf(thing);
        if (at >= 0) known.splice(at, 1);
        return at < 0;
      })
      .map((thing) => `${kind}: ${thing}`);
  });
}

/** All but the kernel's and the line of this process's parents. */
function processes(): { pid: number; command: string }[] {
  const own = new Set<number>();
  for (let pid = process.pid; pid > 1; pid = parentOf(pid)) own.add(pid);
  return names('/proc')
    .filter((name) => /^\d+$/.test(name) && !own.has(Number(name)) && !own.has(parentOf(Number(name))))
    .map((name) => ({
      pid: Number(name),
      command: readText(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim(),
    }))
    .filter(({ command }) => command !== '');
}

function parentOf(pid: number): number {
  const stat = readText(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function namespacesOf(pid: number): string[] {
  return names(`/proc/${pid}/ns`).flatMap((name) => {
    try {
      return name.endsWith('_for_children') ? [] : [readlinkSync(`/proc/${pid}/ns/${name}`)];
    } catch {
      return [];
    }
  });
}

function directories(parent: string, depth: number): string[] {
  if (depth === 0) return [];
  let entries;
  try {
    entries = readdirSync(parent, { withFileTypes: true });
  } catch {
    return [];
  }
  const own = entries.filter((entry) => entry.isDirectory()).map((entry) => join(parent, entry.name));
  return own.flatMap((path) => [path, ...directories(path, depth - 1)]);
}

function firewallRules(): string[] {
  try {
    const text = execFileSync('iptables-save', { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return lines(text).filter((line) => line.startsWith('-'));
  } catch {
    return [];
  }
}

function lines(text: string): string[] {
  return text.split('\n').filter(Boolean);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
