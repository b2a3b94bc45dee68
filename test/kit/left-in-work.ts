import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What runs left in the scratch space of this process, on disk and in memory, without what they share. */
export function leftInWork(work: string): string[] {
  return readdirSync(work).flatMap((own) =>
    readdirSync(join(work, own)).flatMap((name) =>
      name === 'memory' ? readdirSync(join(work, own, name)) : name === 'lowest' ? [] : [name],
    ),
  );
}
