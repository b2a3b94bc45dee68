import { expect } from 'chai';
import type { MeasuredItem } from '../../../src/prune/item.js';
import type { LayerNode } from '../../../src/prune/layer-nodes.js';
import { planPrune, type PlanOptions } from '../../../src/prune/plan.js';
import { type Digest, digestOf } from '../../../src/oci/digest.js';

const now = Date.parse('2026-03-01T12:00:00Z');
const HOUR = 3_600_000;

interface Step {
  readonly name: string;
  /** Names of the steps below, base first. */
  readonly below?: readonly string[];
  readonly bytes: number;
  readonly runMs?: number;
  readonly ageHours?: number;
  readonly images?: readonly string[];
  readonly inUse?: boolean;
  readonly fetchable?: boolean;
}

/** A store with a layer, its directory and its record for each step. */
function storeOf(steps: readonly Step[]): Pick<PlanOptions, 'items' | 'layers' | 'totalBytes'> {
  const digest = (name: string) => digestOf(name);
  const layers = new Map<Digest, LayerNode>();
  const items: MeasuredItem[] = [];
  for (const {
    name,
    below = [],
    bytes,
    runMs = 1000,
    ageHours = 1,
    images = [],
    inUse = false,
    fetchable = false,
  } of steps) {
    const lastUsedMs = now - ageHours * HOUR;
    const diffId = digest(name);
    layers.set(diffId, {
      diffId,
      blobs: new Set([diffId]),
      records: new Set(),
      above: new Set(),
      images,
      fetchable,
      name,
      runMs,
      lastUsedMs,
    });
    for (const lower of [...below, name]) layers.get(digest(lower))!.records.add(digest(`key ${name}`));
    for (const lower of below) layers.get(digest(lower))!.above.add(diffId);
    const shared = { lastUsedMs, rebuildMs: runMs, images, inUse, paths: [], description: name };
    items.push(
      { ...shared, id: name, type: 'layer', bytes, diffId },
      { ...shared, id: `${name}-directory`, type: 'directory', bytes: bytes / 10, rebuildMs: bytes, diffId },
      {
        ...shared,
        id: `record-${name}`,
        type: 'record',
        bytes: 1,
        key: digest(`key ${name}`),
        layers: [...below, name].map(digest),
      },
    );
  }
  return { items, layers, totalBytes: items.reduce((sum, item) => sum + item.bytes, 0) };
}

function planned(steps: readonly Step[], options: Partial<PlanOptions> = {}): string[] {
  const plan = planPrune({
    ...storeOf(steps),
    freeBytes: 0,
    limits: {},
    all: false,
    filter: () => true,
    nowMs: now,
    ...options,
  });
  return plan.map(({ item }) => item.id);
}

describe('the plan of prune', () => {
  const kept: Step = { name: 'kept', bytes: 1000, images: ['app'] };
  const loose: Step = { name: 'loose', bytes: 1000 };

  it('takes everything that no image needs, each thing once', () => {
    expect(planned([kept, loose]).sort()).to.deep.equal(['loose', 'loose-directory', 'record-loose']);
  });

  it('with --all takes what images can do without, never their layers', () => {
    expect(planned([kept], { all: true }).sort()).to.deep.equal(['kept-directory', 'record-kept']);
  });

  it('takes nothing that is in use', () => {
    expect(planned([{ ...loose, inUse: true }])).to.deep.equal([]);
  });

  it('takes with a layer the records that need it, and what is of no use without them', () => {
    const base: Step = { name: 'base', bytes: 10_000, ageHours: 100 };
    const top: Step = { name: 'top', below: ['base'], bytes: 10, runMs: 60_000 };
    const plan = planned([base, top], { filter: (item) => item.id === 'base' });
    expect(plan.sort()).to.deep.equal([
      'base',
      'base-directory',
      'record-base',
      'record-top',
      'top',
      'top-directory',
    ]);
  });

  it('keeps the records of a layer that can be fetched again', () => {
    const base: Step = { name: 'base', bytes: 10_000, fetchable: true };
    const top: Step = { name: 'top', below: ['base'], bytes: 10 };
    const plan = planned([base, top], { filter: (item) => item.id === 'base' });
    expect(plan).to.deep.equal(['base', 'base-directory']);
  });

  it('keeps an upper layer that an image needs', () => {
    const base: Step = { name: 'base', bytes: 10_000 };
    const top: Step = { name: 'top', below: ['base'], bytes: 10, images: ['app'] };
    expect(planned([base, top], { filter: (item) => item.id === 'base' })).not.to.include('top');
  });

  describe('with a limit', () => {
    const cheap: Step = { name: 'cheap', bytes: 1000, runMs: 100 };
    const dear: Step = { name: 'dear', bytes: 1000, runMs: 600_000 };
    const steps = [dear, cheap];
    const { totalBytes } = storeOf(steps);

    it('takes nothing when the store is below it', () => {
      expect(planned(steps, { limits: { maxUsedBytes: totalBytes } })).to.deep.equal([]);
      expect(planned(steps, { limits: { minFreeBytes: 10 }, freeBytes: 10 })).to.deep.equal([]);
    });

    it('takes what is made again soonest, and no more than needed', () => {
      const plan = planned(steps, { limits: { maxUsedBytes: totalBytes - 900 } });
      expect(plan[0]).to.equal('cheap');
      expect(plan).not.to.include('dear');
    });

    it('takes the least recently used of two that cost the same', () => {
      const old: Step = { ...cheap, name: 'old', ageHours: 50 };
      const plan = planned([cheap, old], { limits: { minFreeBytes: 1 } });
      expect(plan).to.include('old').and.not.include('cheap');
    });

    it('counts what is built on a layer as its cost', () => {
      const base: Step = { name: 'base', bytes: 1000, runMs: 100 };
      const top: Step = { name: 'top', below: ['base'], bytes: 10, runMs: 600_000 };
      const plan = planned([base, top, { ...cheap, runMs: 5000 }], { limits: { minFreeBytes: 1000 } });
      expect(plan[0]).to.equal('cheap');
    });

    it('never goes below what is reserved', () => {
      const plan = planned(steps, { limits: { minFreeBytes: 1e9, reservedBytes: totalBytes - 500 } });
      expect(plan).to.include('cheap').and.not.include('dear');
    });
  });
});
