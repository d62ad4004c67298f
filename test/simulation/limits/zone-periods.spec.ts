import { describe, expect, it } from '@jest/globals';
import { Random } from '../random.js';
import { ODD_ZONES, PERIOD_CASES } from './period-cases.js';
import { periodAt } from './zone-periods.js';

const SEED = Number(process.env.SIMULATION_SEED ?? 1);

describe('a calendar period', () => {
  it.each(PERIOD_CASES)('has its start and its end: $what', ({ per, zone, at, name, start, end }) => {
    const period = periodAt(per, Date.parse(at), zone);
    expect(period).toEqual({ name, startMs: Date.parse(start), endMs: Date.parse(end) });
  });

  it('holds every instant, and meets the next one without a gap', () => {
    const random = new Random(SEED);
    for (let round = 0; round < 2_000; round++) {
      const zone = random.pick(ODD_ZONES);
      const per = random.pick(['day', 'week', 'month'] as const);
      const at = Date.UTC(2015, 0, 1) + random.between(0, 10 * 365 * 86_400) * 1_000;
      const period = periodAt(per, at, zone);
      const what = `${per} of ${zone} at ${new Date(at).toISOString()}, seed ${SEED}`;
      expect([what, period.startMs <= at && at < period.endMs]).toEqual([what, true]);
      expect([what, periodAt(per, period.endMs, zone).startMs]).toEqual([what, period.endMs]);
      expect([what, periodAt(per, period.endMs - 1, zone)]).toEqual([what, period]);
    }
  });
});
