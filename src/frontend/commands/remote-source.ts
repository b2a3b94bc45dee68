import { BuildError } from '../../errors.js';

/** ADD of a URL or a git repository. @throws UNSUPPORTED */
export function refuseRemote(source: string): void {
  if (!/^(https?|git|ssh|ftp):\/\/|^git@/i.test(source)) return;
  throw new BuildError(
    'UNSUPPORTED',
    `ADD of the URL "${source.replace(/\/\/[^/@]*@/, '//')}" is not supported in this version`,
    {
      hint: 'fetch it before the build, or with RUN in a builder stage',
    },
  );
}
