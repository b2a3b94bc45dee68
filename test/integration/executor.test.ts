import type { Executor } from '../../src/worker/executor/executor.js';
import { createExecutor } from '../../src/worker/executor/select-executor.js';
import { findProgram, needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';
import { testExecutor } from '../suites/executor.js';

const PROGRAMS: Readonly<Record<Executor['name'], string>> = {
  crun: 'crun',
  runc: 'runc',
  sandbox: 'unshare',
};

for (const [name, program] of Object.entries(PROGRAMS) as [Executor['name'], string][]) {
  describe(`running a process with ${name}`, () => {
    testExecutor((context) => {
      needs(context, 'mounts', { program }, { program: 'busybox' });
      return createExecutor({ name, program: findProgram(program)! }, tmpDir());
    });
  });
}

describe('running a process with a crun that waited for it', () => {
  testExecutor((context) => {
    needs(context, 'mounts', { program: 'crun' }, { program: 'busybox' });
    return createExecutor({ name: 'crun', program: findProgram('crun')! }, tmpDir());
  }, true);
});
