import { BuildError } from '../../errors.js';

/** ADD of a URL or a git repository, which COPY never takes. @throws UNSUPPORTED, INVALID_VALUE */
export function refuseRemote(kind: 'add' | 'copy', source: string): void {
  if (!/^(https?|git|ssh|ftp):\/\/|^git@/i.test(source)) return;
  const shown = source.replace(/\/\/[^/@]*@/, '//');
  const hint = 'fetch it before the build, or with RUN in a builder stage';
  if (kind === 'copy')
    throw new BuildError('INVALID_VALUE', `source can't be a URL for COPY: "${shown}"`, { hint });
  throw new BuildError('UNSUPPORTED', `ADD of the URL "${shown}" is not supported in this version`, { hint });
}
