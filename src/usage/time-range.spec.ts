import { describe, expect, it } from '@jest/globals';
import { DAY_MS, monthToDate, rangeBefore, type RangeRules, rangeOf, stepsOf } from './time-range.js';
import { TimeZone } from './time-zone.js';

const now = new Date('2026-11-21T21:32:55.120Z');
const hours: RangeRules = { step: 'hour', defaultMs: DAY_MS, maxMs: 31 * DAY_MS };
const days: RangeRules = { ...hours, step: 'day' };
const iso = ({ from, to }: { from: Date; to: Date }) => [from.toISOString(), to.toISOString()];

describe('rangeOf', () => {
  it('ends with the running hour and begins a day before', () => {
    expect(iso(rangeOf({}, hours, now))).toEqual(['2026-11-20T22:00:00.000Z', '2026-11-21T22:00:00.000Z']);
  });

  it('rounds both ends down to whole steps, so that ranges which meet share nothing', () => {
    const ends = ['2026-11-01T02:30:00Z', '2026-11-02T02:30:00Z', '2026-11-03T02:59:59.999Z'];
    expect(iso(rangeOf({ from: ends[0], to: ends[1] }, hours, now))).toEqual([
      '2026-11-01T02:00:00.000Z',
      '2026-11-02T02:00:00.000Z',
    ]);
    expect(iso(rangeOf({ from: ends[1], to: ends[2] }, hours, now))).toEqual([
      '2026-11-02T02:00:00.000Z',
      '2026-11-03T02:00:00.000Z',
    ]);
  });

  it('says why a range inside of one step is none', () => {
    expect(() => rangeOf({ from: '2026-11-01T02:10:00Z', to: '2026-11-01T02:50:00Z' }, hours, now)).toThrow(
      'from: must be in an earlier hour than to: both are rounded down to a whole hour',
    );
  });

  it.each([
    ['Europe/Berlin', '2026-10-31T23:00:00.000Z', '2026-11-30T23:00:00.000Z'],
    ['America/New_York', '2026-11-01T04:00:00.000Z', '2026-12-01T05:00:00.000Z'],
    ['Asia/Kolkata', '2026-10-31T18:30:00.000Z', '2026-11-30T18:30:00.000Z'],
  ])('reads days by the clocks of %s', (name, from, to) => {
    expect(iso(rangeOf({ from: '2026-11-01', to: '2026-12-01' }, days, now, TimeZone.of(name)))).toEqual([from, to]);
    expect(iso(rangeOf({ from: '2026-11-01', to: '2026-12-01' }, hours, now, TimeZone.of(name)))).toEqual([from, to]);
  });

  it('ends with the running day of a zone and begins a number of its days before', () => {
    const rules: RangeRules = { ...days, defaultMs: 30 * DAY_MS };
    expect(iso(rangeOf({}, rules, now, TimeZone.of('Asia/Tokyo')))).toEqual([
      '2026-10-23T15:00:00.000Z',
      '2026-11-22T15:00:00.000Z',
    ]);
  });

  it('reads plain days and offsets', () => {
    expect(iso(rangeOf({ from: '2026-11-01', to: '2026-11-01T02:00:00+01:00' }, hours, now))).toEqual([
      '2026-11-01T00:00:00.000Z',
      '2026-11-01T01:00:00.000Z',
    ]);
  });

  it.each([
    [{ from: 'yesterday' }, 'from'],
    [{ to: '2026-02-30' }, 'to'],
    [{ from: '2026-11-02', to: '2026-11-01' }, 'from'],
    [{ from: '2026-11-01', to: '2026-11-01' }, 'from'],
    [{ from: '2026-01-01', to: '2026-11-01' }, 'from'],
  ])('refuses %j', (asked, path) => {
    expect(() => rangeOf(asked, hours, now)).toThrow(
      expect.objectContaining({ code: 'VALIDATION_FAILED', extras: { errors: [expect.objectContaining({ path })] } }),
    );
  });

  it('knows its steps', () => {
    const range = rangeOf({ from: '2026-02-27', to: '2026-03-02' }, days, now);
    expect(stepsOf(range, 'day').map((step) => step.toISOString().slice(0, 10))).toEqual([
      '2026-02-27',
      '2026-02-28',
      '2026-03-01',
    ]);
  });

  it.each([
    ['forward, a day of 23 hours', 'Europe/Berlin', '2026-03-28', '2026-03-31', [24, 23, 24]],
    ['back, a day of 25 hours', 'Europe/Berlin', '2026-10-24', '2026-10-27', [24, 25, 24]],
    ['forward at midnight', 'America/Sao_Paulo', '2018-11-03', '2018-11-06', [24, 23, 24]],
    ['back at midnight', 'America/Sao_Paulo', '2018-02-16', '2018-02-19', [24, 25, 24]],
    ['by half an hour', 'Australia/Lord_Howe', '2026-04-04', '2026-04-07', [24, 24.5, 24]],
    ['over a day that was left out', 'Pacific/Apia', '2011-12-29', '2012-01-01', [24, 24]],
  ])('partitions days whose clocks are put %s', (_, name, from, to, hoursOfDays) => {
    const zone = TimeZone.of(name);
    const range = rangeOf({ from, to }, days, now, zone);
    const steps = [...stepsOf(range, 'day', zone), range.to].map((step) => step.getTime());
    expect(steps.slice(1).map((step, index) => (step - steps[index]!) / 3_600_000)).toEqual(hoursOfDays);
  });

  it.each(['Mars/Olympus', 'Europe/Berlin ', '+02:00', ''])('refuses the zone %j by name', (name) => {
    expect(() => TimeZone.of(name)).toThrow(
      `timeZone: must be a time zone of the IANA database, such as Europe/Berlin, and not "${name}"`,
    );
  });
});

describe('a month to date', () => {
  const within = (at: string, name: string) => {
    const zone = TimeZone.of(name);
    const range = monthToDate(new Date(at), zone);
    return [...iso(range), ...iso(rangeBefore(range, 'month', zone))];
  };

  it('ends with the running hour, and is compared with the month before to the same day and time', () => {
    expect(within('2026-11-21T21:32:55Z', 'UTC')).toEqual([
      ...['2026-11-01T00:00:00.000Z', '2026-11-21T22:00:00.000Z'],
      ...['2026-10-01T00:00:00.000Z', '2026-10-21T22:00:00.000Z'],
    ]);
  });

  it.each([
    ['2026-03-31T10:30:00Z', '2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'],
    ['2028-03-29T10:30:00Z', '2028-02-01T00:00:00.000Z', '2028-02-29T11:00:00.000Z'],
    ['2026-01-05T23:59:59Z', '2025-12-01T00:00:00.000Z', '2025-12-06T00:00:00.000Z'],
    ['2026-12-31T23:59:59Z', '2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
  ])('is at %s compared with %s to %s', (at, from, to) => {
    expect(within(at, 'UTC').slice(2)).toEqual([from, to]);
  });

  it('has an hour at its first instant', () => {
    expect(within('2026-11-01T00:00:00Z', 'UTC')).toEqual([
      ...['2026-11-01T00:00:00.000Z', '2026-11-01T01:00:00.000Z'],
      ...['2026-10-01T00:00:00.000Z', '2026-10-01T01:00:00.000Z'],
    ]);
  });

  it('is of the zone, also where its clocks have changed in between', () => {
    // Summer time in Berlin ended on 25 October.
    expect(within('2026-11-21T21:32:55Z', 'Europe/Berlin')).toEqual([
      ...['2026-10-31T23:00:00.000Z', '2026-11-21T22:00:00.000Z'],
      ...['2026-09-30T22:00:00.000Z', '2026-10-21T21:00:00.000Z'],
    ]);
    expect(within('2026-10-31T23:30:00Z', 'Pacific/Auckland')[0]).toBe('2026-10-31T11:00:00.000Z');
  });

  it('is a range within its month, and so is what it is compared with, at any time of two years', () => {
    for (const name of ['UTC', 'Europe/Berlin', 'Pacific/Auckland', 'Asia/Kolkata', 'America/Sao_Paulo']) {
      const zone = TimeZone.of(name);
      for (let at = Date.UTC(2025, 0, 1); at < Date.UTC(2027, 0, 1); at += 53 * 3_600_000 + 1_234_567) {
        const range = monthToDate(new Date(at), zone);
        const before = rangeBefore(range, 'month', zone);
        const [from, to, start, end] = [range.from, range.to, before.from, before.to].map((one) => one.getTime());
        expect([from! <= at, at <= to!, start! < end!, end! <= from!]).toEqual([true, true, true, true]);
      }
    }
  });

  it('is not meant where a range is given: then it is as long before', () => {
    const range = rangeOf({ from: '2026-11-10', to: '2026-11-20' }, hours, now);
    expect(iso(rangeBefore(range, undefined))).toEqual(['2026-10-31T00:00:00.000Z', '2026-11-10T00:00:00.000Z']);
  });
});
