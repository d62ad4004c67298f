import { describe, expect, it } from '@jest/globals';
import { type Fault, RecordCacheSimulation, findViolation } from './record-cache-simulation.js';

const STEPS = 80;
/** All of them where time is given (`SIMULATION_SEEDS`, as the proof G38 does); fewer on every change. */
const SCHEDULES = process.env.SIMULATION_SEEDS === undefined ? 2_000 : 10_000;

describe('record cache, loader and feed under scheduled interleavings', () => {
  it('never resurrects what a change has ended, whatever the schedule', async () => {
    expect(await findViolation('none', { first: 1, count: SCHEDULES, steps: STEPS })).toBeNull();
  }, 300_000);

  it('answers from memory and from loads, of revoked keys too', async () => {
    let [remembered, loaded, revoked, refreshed] = [0, 0, 0, 0];
    for (let seed = 1; seed <= 200; seed += 1) {
      const result = await new RecordCacheSimulation(seed).run(5 * STEPS);
      remembered += result.remembered;
      loaded += result.loaded;
      revoked += result.revoked;
      refreshed += result.refreshed;
    }
    expect(remembered).toBeGreaterThan(200);
    expect(loaded).toBeGreaterThan(100);
    expect(revoked).toBeGreaterThan(50);
    expect(refreshed).toBeGreaterThan(20);
  });

  it.each<Fault>([
    'no-fill-guard',
    'evict-before-mark',
    'no-generation',
    'fresh-from-answer',
    'fresh-before-head',
    'no-suspend-guard',
    'no-epoch',
  ])(
    'would notice: %s',
    async (fault) => {
      expect(await findViolation(fault, { first: 1, count: 10_000, steps: STEPS })).not.toBeNull();
    },
    300_000,
  );
});
