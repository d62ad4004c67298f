import { describe, expect, it } from '@jest/globals';
import { PERIOD_CASES } from '../../simulation/limits/period-cases.js';
import { changesOf, nameByLocalDate, periodOf } from './period-oracle.js';

describe('The oracle of periods', () => {
  it.each(PERIOD_CASES)('knows what was written down by hand: $what', ({ per, zone, at, name, start, end }) => {
    expect(periodOf(per, Date.parse(at), zone)).toEqual({ name, startMs: Date.parse(start), endMs: Date.parse(end) });
  });

  it('tells local dates apart from periods where midnight comes twice', () => {
    const between = Date.parse('2020-11-01T04:30:00Z');
    expect(nameByLocalDate('day', between, 'America/Havana')).toBe('2020-11-01');
    expect(periodOf('day', between, 'America/Havana').name).toBe('2020-10-31');
    expect(nameByLocalDate('week', Date.parse('2021-01-03T12:00:00Z'), 'UTC')).toBe('2020-12-28');
  });

  it('finds when clocks change', () => {
    const changes = changesOf('Europe/Berlin', Date.UTC(2024, 0, 1), Date.UTC(2025, 0, 1));
    expect(changes.map((ms) => new Date(ms).toISOString())).toEqual([
      '2024-03-31T01:00:00.000Z',
      '2024-10-27T01:00:00.000Z',
    ]);
    expect(changesOf('UTC', Date.UTC(2024, 0, 1), Date.UTC(2025, 0, 1))).toEqual([]);
  });
});
