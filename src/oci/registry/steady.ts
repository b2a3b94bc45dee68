import { BuildError } from '../../errors.js';
import { LIMITS } from '../limits.js';

/**
 * The chunks of an answer that keep coming. A server that sends a byte now and then keeps every idle timeout from firing, and a
 * build from ending.
 * @throws REGISTRY_UNREACHABLE (temporary) for one that sends too little
 */
export async function* steady(
  chunks: AsyncIterable<Uint8Array>,
  host: string,
  now: () => number = Date.now,
): AsyncIterable<Uint8Array> {
  let startedMs = now();
  let received = 0;
  for await (const chunk of chunks) {
    received += chunk.length;
    const arrivedMs = now();
    if (arrivedMs - startedMs > LIMITS.slowWindowMs) {
      if (received < LIMITS.slowestBytes) throw tooSlow(host, received);
      [startedMs, received] = [arrivedMs, 0];
    }
    yield chunk;
    // What the reader takes for itself is not the server's slowness.
    startedMs += now() - arrivedMs;
  }
}

function tooSlow(host: string, received: number): BuildError {
  return new BuildError(
    'REGISTRY_UNREACHABLE',
    `the server "${host}" sent only ${received} bytes in ${LIMITS.slowWindowMs / 1000} s`,
    { hint: 'try again later, or use a mirror', temporary: true },
  );
}
