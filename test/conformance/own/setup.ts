import { execFileSync } from 'node:child_process';
import { lstatSync, lutimesSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeBaseRootfs } from '../../kit/base-image.js';
import { makeContext } from '../../kit/context.js';
import type { OwnCase } from './case.js';

/** The context of a case, with a time of its own for every path. */
export function makeCaseContext(ownCase: OwnCase): string {
  const context = makeContext({ Dockerfile: ownCase.dockerfile, ...ownCase.files });
  if (ownCase.prepare) {
    setTimes(context);
    execFileSync('/bin/sh', ['-ec', ownCase.prepare], { cwd: context });
  }
  setTimes(context);
  return context;
}

/** The context of the base image. */
export function makeBaseContext(): string {
  const context = makeContext({
    Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
    '.dockerignore': 'Dockerfile\n.dockerignore\n',
  });
  makeBaseRootfs(context);
  setTimes(context);
  return context;
}

function setTimes(root: string): void {
  let time = 1_500_000_000;
  const visit = (path: string) => {
    if (lstatSync(path).isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    time += 1000;
    lutimesSync(path, time, time);
  };
  visit(root);
}
