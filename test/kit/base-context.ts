import { makeBaseRootfs } from './base-image.js';
import type { tsbuildIn } from './cli.js';
import { makeContext } from './context.js';

/** Builds the image `base`, busybox with its applets, into a store. */
export async function buildBase(tsbuild: ReturnType<typeof tsbuildIn>): Promise<void> {
  const context = makeContext({
    Dockerfile: 'FROM scratch\nCOPY . /\nCMD ["/bin/sh"]\n',
    '.dockerignore': 'Dockerfile\n.dockerignore\n',
  });
  makeBaseRootfs(context);
  await tsbuild.must([context, '-t', 'base']);
}
