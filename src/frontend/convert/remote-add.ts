import { BuildError } from '../../errors.js';
import type { SourceOp } from '../../graph/op.js';
import { isDigest } from '../../oci/digest.js';
import type { CopyCommand } from '../command.js';
import { urlFileName } from '../context-source.js';
import { gitSourceOp, parseGitReference, redactUrl } from '../git-reference.js';

/** A source of ADD that is fetched: one file, or a checkout whose whole tree is copied. */
export interface RemoteSource {
  readonly op: SourceOp;
  /** Absolute path in what the op gives. */
  readonly path: string;
  readonly unpack: boolean;
}

/**
 * Reads a source word of ADD or COPY as a URL or a repository; undefined for a path.
 * @throws INVALID_VALUE for a remote source of COPY, a checksum that does not fit
 */
export function remoteSource(
  command: CopyCommand,
  source: string,
  expand: (text: string) => string,
): RemoteSource | undefined {
  const reference = parseGitReference(source, command.keepGitDirectory !== undefined);
  const isHttp = /^https?:\/\//.test(source);
  if (!reference && !isHttp) return undefined;
  if (command.kind === 'copy')
    throw invalid(
      `source can't be a ${reference ? 'git ref' : 'URL'} for COPY: "${redactUrl(source)}"`,
      'use ADD',
    );
  const checksum = command.checksum === undefined ? undefined : expand(command.checksum);
  if (!reference) {
    if (checksum !== undefined && !isDigest(checksum))
      throw invalid(
        `the checksum "${checksum}" is not a digest`,
        'write it as sha256: and 64 hexadecimal digits',
      );
    const filename = urlFileName(source);
    const attributes = { filename, ...(checksum === undefined ? {} : { checksum }) };
    return {
      op: { kind: 'source', identifier: source, attributes },
      path: `/${filename}`,
      unpack: command.unpack ?? false,
    };
  }
  const { keepGitDirectory = reference.keepGitDirectory } = command;
  if (reference.keepGitDirectory !== undefined && keepGitDirectory !== reference.keepGitDirectory)
    throw invalid('inconsistent keep-git-dir configuration', 'say it in the flag or in the URL');
  if (checksum !== undefined && reference.checksum !== undefined && checksum !== reference.checksum)
    throw invalid(`checksum mismatch "${checksum}" != "${reference.checksum}"`);
  const op = gitSourceOp({
    ...reference,
    ...(keepGitDirectory === undefined ? {} : { keepGitDirectory }),
    ...(checksum === undefined ? {} : { checksum }),
  });
  return { op, path: '/', unpack: false };
}

function invalid(message: string, hint?: string): BuildError {
  return new BuildError('INVALID_VALUE', message, { hint });
}
