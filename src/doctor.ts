import type { MachineFinding } from './doctor/machine-check.js';
import { MACHINE_CHECKS } from './doctor/machine-checks.js';
import { checkStore, type StoreCheck } from './doctor/store-check.js';
import type { StoreOptions } from './options.js';
import { openStore } from './store.js';

export type { Damage } from './doctor/damage.js';
export type { StoreCheck } from './doctor/store-check.js';

/** One part of the machine, and what was found. */
export type MachineReport = MachineFinding & { readonly name: string };

/** Looks at everything of the machine that builds need; changes nothing. */
export async function examineMachine(): Promise<MachineReport[]> {
  return Promise.all(MACHINE_CHECKS.map(async ({ name, check }) => ({ name, ...(await check()) })));
}

export interface ExamineStoreOptions extends StoreOptions {
  /** Sizes and attributes only; no bytes are compared with their digests. */
  readonly quick?: boolean;
}

/** Checks every blob, image, record, layer and source of the store, and sets aside what is damaged. */
export async function examineStore(
  options: ExamineStoreOptions = {},
): Promise<StoreCheck & { readonly root: string }> {
  using store = openStore(options);
  const { state, content, images, lock } = store;
  const signal = options.signal ?? new AbortController().signal;
  using _lock = await lock('prune', { signal });
  const contents = !options.quick;
  return { root: state.path, ...(await checkStore({ state, content, images, contents, signal })) };
}
