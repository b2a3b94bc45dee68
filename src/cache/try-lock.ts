import type { LockAcquirer } from '../graph/contract.js';

/** The lock when nobody holds it, else undefined; never waits. */
export async function tryLock(
  lock: LockAcquirer,
  name: string,
  signal: AbortSignal,
): Promise<Disposable | undefined> {
  const busy = new AbortController();
  try {
    return await lock(name, { signal: AbortSignal.any([signal, busy.signal]), onWait: () => busy.abort() });
  } catch (error) {
    if (signal.aborted || !busy.signal.aborted) throw error;
    return undefined;
  }
}
