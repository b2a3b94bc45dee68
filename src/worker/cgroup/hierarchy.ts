import { join } from 'node:path';
import { textIfThere } from '../../cache/if-there.js';
import type { Controller } from './limits.js';

/** Where the groups of one controller are made: below the group that this process is in. */
export interface ControllerRoot {
  readonly version: 1 | 2;
  /** Mount point of the hierarchy. */
  readonly mount: string;
  /** This process's own group, below the mount point. */
  readonly own: string;
}

/** The kernel's names of version 1, where they differ. */
const OLD_NAMES: Partial<Record<Controller, string>> = { io: 'blkio' };

/**
 * Finds a controller on a machine with control groups of version 1, 2 or both; undefined where it has none of that name. Of
 * both, version 1 comes first: a controller is in one of them only.
 */
export function findController(
  controller: Controller,
  read: (path: string) => string = (path) => textIfThere(path) ?? '',
): ControllerRoot | undefined {
  const mounts = read('/proc/self/mountinfo').split('\n').map(parseMount);
  const groups = read('/proc/self/cgroup')
    .split('\n')
    .map((line) => line.split(':'));
  const name = OLD_NAMES[controller] ?? controller;
  const old = mounts.find((mount) => mount.type === 'cgroup' && mount.options.includes(name));
  const oldGroup = groups.find(([, controllers = '']) => controllers.split(',').includes(name));
  if (old && oldGroup) return rootOf(1, old, oldGroup);
  const unified = mounts.find((mount) => mount.type === 'cgroup2');
  const group = groups.find(([number, controllers]) => number === '0' && controllers === '');
  if (!unified || !group) return undefined;
  const root = rootOf(2, unified, group);
  const available = read(join(root.own, 'cgroup.controllers')).trim().split(' ');
  return available.includes(controller) ? root : undefined;
}

interface Mount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** A line of mountinfo: `… root point … - type source options`. */
function parseMount(line: string): Mount {
  const [left = '', right = ''] = line.split(' - ');
  const [, , , root = '/', point = ''] = left.split(' ');
  const [type = '', , options = ''] = right.split(' ');
  return { root, point, type, options: options.split(',') };
}

/** In a container the mount may show a part of the hierarchy only. */
function rootOf(version: 1 | 2, { root, point }: Mount, group: readonly string[]): ControllerRoot {
  const path = group.slice(2).join(':');
  const below = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
  return { version, mount: point, own: join(point, below.startsWith('/..') ? '/' : below) };
}
