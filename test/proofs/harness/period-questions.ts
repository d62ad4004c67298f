import { PERIOD_CASES } from '../../simulation/limits/period-cases.js';
import { type CalendarPer, changesOf, periodOf } from './period-oracle.js';
import type { Random } from './random.js';

/** Which period an instant lies in. */
export interface PeriodQuestion {
  readonly at: number;
  readonly per: CalendarPer;
  readonly zone: string;
}

const RULES = ['day', 'week', 'month'] as const;
/** Rules of zones before and after it are not the same in every release of their database. */
const [FIRST_YEAR, LAST_YEAR] = [1993, 2025];
const HOUR_MS = 3_600_000;

/**
 * Questions whose answers are certain: those written down by hand, with the edges of their periods; then of `zones`, by
 * turns at any instant, near the end of a period, and near a change of clocks.
 */
export function periodQuestions(count: number, zones: readonly string[], random: Random): PeriodQuestion[] {
  const written = PERIOD_CASES.flatMap(({ per, zone, at, start, end }) =>
    [Date.parse(at), Date.parse(start), Date.parse(end) - 1, Date.parse(end)].map((ms) => ({ at: ms, per, zone })),
  );
  while (written.length < count) written.push(...drawn(zones, random));
  return written.slice(0, count);
}

function drawn(zones: readonly string[], random: Random): PeriodQuestion[] {
  const [zone, per] = [random.pick(zones), random.pick(RULES)];
  const year = FIRST_YEAR + random.integer(LAST_YEAR - FIRST_YEAR);
  const [from, until] = [Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1)];
  const near = (ms: number, withinHours: number) =>
    ms + Math.round((2 * random.next() - 1) * withinHours * 3_600) * 1_000;
  const any = from + random.integer((until - from) / 1_000) * 1_000;
  const changes = changesOf(zone, from, until);
  return [
    { at: any, per, zone },
    { at: near(periodOf(per, any, zone).endMs, 2), per, zone },
    ...(changes.length === 0 ? [] : [{ at: near(random.pick(changes), 26), per: 'day' as const, zone }]),
  ];
}

/** An end of a period that is watched while it passes. */
export interface WatchedEnd {
  readonly per: CalendarPer;
  readonly zone: string;
  readonly at: number;
  /** When the local date changes for the first time, where it does so twice: nothing may end then. */
  readonly firstMidnight?: number;
}

const watched = (per: CalendarPer, zone: string, at: string, hoursBefore?: number): WatchedEnd => {
  const ms = Date.parse(at);
  return { per, zone, at: ms, ...(hoursBefore === undefined ? {} : { firstMidnight: ms - hoursBefore * HOUR_MS }) };
};

/** Ends of every kind: two midnights, none, half an hour, a day that is missing, a leap day, ISO week 53, far ahead. */
export const WATCHED_ENDS: readonly WatchedEnd[] = [
  watched('month', 'America/Havana', '2020-11-01T05:00:00Z', 1),
  watched('day', 'Atlantic/Azores', '2022-10-30T01:00:00Z', 1),
  watched('day', 'America/Santiago', '2023-09-03T04:00:00Z'),
  watched('day', 'Africa/Cairo', '2023-04-27T22:00:00Z'),
  watched('day', 'Australia/Lord_Howe', '2024-04-07T13:30:00Z'),
  watched('day', 'Pacific/Apia', '2011-12-30T10:00:00Z'),
  watched('month', 'Asia/Kolkata', '2024-02-29T18:30:00Z'),
  watched('day', 'UTC', '2024-02-29T00:00:00Z'),
  watched('week', 'Europe/Berlin', '2021-01-03T23:00:00Z'),
  watched('month', 'Pacific/Kiritimati', '2023-12-31T10:00:00Z'),
];
