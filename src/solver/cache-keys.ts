import type { CacheMap, JobContext, Result } from '../graph/contract.js';
import { type Digest, digestOfJson } from '../oci/digest.js';

/**
 * The definition key: what the vertex does and the definition keys of its inputs. Known before anything runs. Where the
 * op knows the content of what it reads already (a scan of the local context), that takes the place of the input's key.
 */
export function definitionKey(cacheMap: CacheMap, inputKeys: readonly Digest[]): Digest {
  const inputs = cacheMap.deps.map((dep, i) => dep.early ?? inputKeys[i]);
  return digestOfJson(['definition', cacheMap.digest, inputs]);
}

/** What is read of each input, by content. */
export function inputContents(
  cacheMap: CacheMap,
  inputs: readonly Result[],
  job: JobContext,
): Promise<Digest[]> {
  return Promise.all(
    cacheMap.deps.map(
      async (dep, i) => dep.early ?? dep.contentDigest?.(inputs[i]!, job) ?? resultId(inputs[i]!),
    ),
  );
}

/** The content key: what the vertex does and what its inputs hold, however they came about. */
export function contentKey(cacheMap: CacheMap, contents: readonly Digest[]): Digest {
  return digestOfJson(['content', cacheMap.digest, contents]);
}

/** Under this key the first result with that content is found again by a later run that wrote the same files. */
export function adoptionKey(cacheMap: CacheMap, contentId: Digest): Digest {
  return digestOfJson(['adopt', cacheMap.digest, contentId]);
}

function resultId(result: Result): Digest {
  return result.kind === 'snapshot' ? result.contentId : digestOfJson(['local', result.name]);
}
