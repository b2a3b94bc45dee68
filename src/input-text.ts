import { createReadStream, statSync } from 'node:fs';
import { readSmallFile } from './cache/small-file.js';
import { BuildError, type ErrorCode } from './errors.js';
import { limitHint, LIMITS } from './oci/limits.js';

/**
 * Text of a Dockerfile that the user named. A pipe, such as that of `-f <(…)`, is read to its end; errors of the file system
 * come as they are.
 * @throws DOCKERFILE_SYNTAX for one that is too long
 */
export async function readDockerfileText(path: string): Promise<string> {
  const stat = statSync(path);
  if (stat.isFIFO() || stat.isCharacterDevice())
    return readLimitedText(createReadStream(path), 'DOCKERFILE_SYNTAX');
  if (stat.size > LIMITS.dockerfileBytes) throw tooLong('DOCKERFILE_SYNTAX');
  const bytes = readSmallFile(path, { limitBytes: LIMITS.dockerfileBytes });
  if (bytes) return bytes.toString('utf8');
  throw new BuildError('DOCKERFILE_NOT_FOUND', `the Dockerfile "${path}" is no file`);
}

/** All of a stream as text. @throws `code` where it is longer than a Dockerfile may be */
export async function readLimitedText(stream: AsyncIterable<unknown>, code: ErrorCode): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > LIMITS.dockerfileBytes) throw tooLong(code);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Text of an ignore file; undefined where there is none. A fifo of that name is none. @throws DOCKERIGNORE_INVALID */
export function readIgnoreText(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat && stat.isFile() && stat.size > LIMITS.ignoreFileBytes)
    throw new BuildError('DOCKERIGNORE_INVALID', `"${path}" has ${stat.size} bytes`, {
      hint: limitHint('ignoreFileBytes'),
    });
  return readSmallFile(path, { limitBytes: LIMITS.ignoreFileBytes })?.toString('utf8');
}

function tooLong(code: ErrorCode): BuildError {
  return new BuildError(code, `the Dockerfile is longer than ${LIMITS.dockerfileBytes} bytes`, {
    hint: `data belongs into files that are copied; ${limitHint('dockerfileBytes')}`,
  });
}
