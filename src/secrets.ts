import { readFileSync } from 'node:fs';
import { BuildError } from './errors.js';
import type { SecretOrigin } from './options.js';

const MOST_BYTES = 500 * 1024;

/** Reads secrets when a step asks for them, never before. @throws SECRET_MISSING for a file or variable that is not there */
export function createSecretReader(
  secrets: Readonly<Record<string, SecretOrigin>>,
): (id: string) => Buffer | undefined {
  return (id) => {
    const origin = secrets[id];
    if (origin === undefined) return undefined;
    const value = 'env' in origin ? fromEnvironment(id, origin.env) : fromFile(id, origin.file);
    if (value.length > MOST_BYTES) throw missing(id, `it is larger than ${MOST_BYTES} bytes`);
    return value;
  };
}

function fromEnvironment(id: string, name: string): Buffer {
  const value = process.env[name];
  if (value === undefined) throw missing(id, `the variable "${name}" is not set`);
  return Buffer.from(value);
}

function fromFile(id: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw missing(id, `the file "${file}" cannot be read`, error);
  }
}

function missing(id: string, why: string, cause?: unknown): BuildError {
  return new BuildError('SECRET_MISSING', `secret "${id}": ${why}`, {
    cause,
    hint: 'check the --secret flag',
  });
}
