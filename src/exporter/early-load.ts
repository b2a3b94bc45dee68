import { EngineClient } from '../oci/engine/client.js';
import { type EngineEndpoint, findEngine } from '../oci/engine/endpoint.js';
import { archiveHead } from './archive.js';

/**
 * The load into an engine of this machine, begun once it is likely that there will be one: Docker starts a process for each, and needs
 * as long for that as a small step takes to run. What is sent is the same for every image.
 */
export class EarlyLoad implements Disposable {
  /** Begun by this process and neither used nor given up: of many targets that are built at once one begins. */
  static #isAnyBegun = false;

  readonly #endpoint: EngineEndpoint;
  readonly #signal: AbortSignal;
  #client: EngineClient | undefined;
  #isBegun = false;

  /** Undefined where the engine is not on this machine. */
  static of(signal: AbortSignal): EarlyLoad | undefined {
    try {
      const endpoint = findEngine();
      return endpoint && 'socketPath' in endpoint.connection ? new EarlyLoad(endpoint, signal) : undefined;
    } catch {
      // The export says what is wrong.
      return undefined;
    }
  }

  private constructor(endpoint: EngineEndpoint, signal: AbortSignal) {
    this.#endpoint = endpoint;
    this.#signal = signal;
  }

  /** Once for a build; whatever is wrong with the engine, the export says it. */
  begin(): void {
    if (this.#isBegun || EarlyLoad.#isAnyBegun) return;
    this.#isBegun = EarlyLoad.#isAnyBegun = true;
    this.#client = new EngineClient(this.#endpoint, this.#signal);
    void this.#client.beginLoad(archiveHead());
  }

  /** Who takes the client disposes it. Undefined where nothing was begun for that engine. */
  take(endpoint: EngineEndpoint): EngineClient | undefined {
    const client = endpoint.address === this.#endpoint.address ? this.#client : undefined;
    if (client) this.#client = undefined;
    return client;
  }

  [Symbol.dispose](): void {
    this.#client?.[Symbol.dispose]();
    if (this.#isBegun) EarlyLoad.#isAnyBegun = false;
  }
}
