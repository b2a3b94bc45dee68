import { BuildError } from '../../src/errors.js';

/** The code of the BuildError that `promise` rejects with; a success or another error is thrown. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BuildError) return error.code;
    throw error;
  }
  throw new Error('expected an error, got a result');
}
