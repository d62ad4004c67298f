import type { CalendarPer } from './zone-periods.js';

/** An instant, and the period it lies in. */
export interface PeriodCase {
  readonly what: string;
  readonly per: CalendarPer;
  readonly zone: string;
  readonly at: string;
  readonly name: string;
  readonly start: string;
  readonly end: string;
}

const one = (
  what: string, per: CalendarPer, zone: string, at: string, name: string, start: string, end: string,
): PeriodCase => ({ what, per, zone, at, name, start, end }); // prettier-ignore

/** Written down by hand from the rules of the zones. Instants are UTC. */
export const PERIOD_CASES: readonly PeriodCase[] = [
  // Havana leaves summer time at 01:00: midnight of that day comes twice, and the day starts with the second one.
  one('Havana, after the first of two midnights', 'day', 'America/Havana',
    '2020-11-01T04:30:00Z', '2020-10-31', '2020-10-31T04:00:00Z', '2020-11-01T05:00:00Z'),
  one('Havana, at the second midnight', 'day', 'America/Havana',
    '2020-11-01T05:00:00Z', '2020-11-01', '2020-11-01T05:00:00Z', '2020-11-02T05:00:00Z'),
  one('Havana, the month that ends with it', 'month', 'America/Havana',
    '2020-11-01T04:59:59Z', '2020-10-01', '2020-10-01T04:00:00Z', '2020-11-01T05:00:00Z'),
  one('Havana, the month that starts with it', 'month', 'America/Havana',
    '2020-11-01T05:00:00Z', '2020-11-01', '2020-11-01T05:00:00Z', '2020-12-01T05:00:00Z'),
  one('Azores in autumn, after the first midnight', 'day', 'Atlantic/Azores',
    '2022-10-30T00:30:00Z', '2022-10-29', '2022-10-29T00:00:00Z', '2022-10-30T01:00:00Z'),
  one('Azores in autumn, at the second midnight', 'day', 'Atlantic/Azores',
    '2022-10-30T01:00:00Z', '2022-10-30', '2022-10-30T01:00:00Z', '2022-10-31T01:00:00Z'),
  // Santiago and Cairo skip the midnight: the day starts at 01:00.
  one('Santiago in spring, the last instant before', 'day', 'America/Santiago',
    '2023-09-03T03:59:59Z', '2023-09-02', '2023-09-02T04:00:00Z', '2023-09-03T04:00:00Z'),
  one('Santiago in spring, the day without a midnight', 'day', 'America/Santiago',
    '2023-09-03T04:00:00Z', '2023-09-03', '2023-09-03T04:00:00Z', '2023-09-04T03:00:00Z'),
  one('Cairo in spring, the day without a midnight', 'day', 'Africa/Cairo',
    '2023-04-27T22:00:00Z', '2023-04-28', '2023-04-27T22:00:00Z', '2023-04-28T21:00:00Z'),
  one('Cairo in spring, the day before', 'day', 'Africa/Cairo',
    '2023-04-27T21:59:59Z', '2023-04-27', '2023-04-26T22:00:00Z', '2023-04-27T22:00:00Z'),
  one('a week that begins in ISO week 53', 'week', 'Europe/Berlin',
    '2021-01-03T22:59:59Z', '2020-12-28', '2020-12-27T23:00:00Z', '2021-01-03T23:00:00Z'),
  one('the week after ISO week 53', 'week', 'Europe/Berlin',
    '2021-01-03T23:00:00Z', '2021-01-04', '2021-01-03T23:00:00Z', '2021-01-10T23:00:00Z'),
  one('a week in which summer time begins', 'week', 'Europe/Berlin',
    '2024-03-30T12:00:00Z', '2024-03-25', '2024-03-24T23:00:00Z', '2024-03-31T22:00:00Z'),
  one('a leap day', 'day', 'UTC',
    '2024-02-29T23:59:59Z', '2024-02-29', '2024-02-29T00:00:00Z', '2024-03-01T00:00:00Z'),
  one('a month with a leap day', 'month', 'Asia/Kolkata',
    '2024-02-29T18:29:59Z', '2024-02-01', '2024-01-31T18:30:00Z', '2024-02-29T18:30:00Z'),
  one('a year end 14 hours ahead', 'month', 'Pacific/Kiritimati',
    '2023-12-31T10:00:00Z', '2024-01-01', '2023-12-31T10:00:00Z', '2024-01-31T10:00:00Z'),
  one('Lord Howe, which moves by half an hour', 'day', 'Australia/Lord_Howe',
    '2024-04-06T15:00:00Z', '2024-04-07', '2024-04-06T13:00:00Z', '2024-04-07T13:30:00Z'),
  // Samoa went over the date line: 2011-12-30 is no date there, and starts when the 31st does.
  one('Apia, the last instant before the day that is missing', 'day', 'Pacific/Apia',
    '2011-12-30T09:59:59Z', '2011-12-29', '2011-12-29T10:00:00Z', '2011-12-30T10:00:00Z'),
  one('Apia, the first instant after it', 'day', 'Pacific/Apia',
    '2011-12-30T10:00:00Z', '2011-12-31', '2011-12-30T10:00:00Z', '2011-12-31T10:00:00Z'),
  one('Kiritimati, which left out the last day of a year', 'month', 'Pacific/Kiritimati',
    '1994-12-31T10:00:00Z', '1995-01-01', '1994-12-31T10:00:00Z', '1995-01-31T10:00:00Z'),
]; // prettier-ignore

/** Zones that change at midnight, by odd amounts, or that lie far ahead or behind. */
export const ODD_ZONES = [
  'UTC', 'Europe/Berlin', 'America/Havana', 'Atlantic/Azores', 'America/Santiago', 'Africa/Cairo', 'Asia/Kolkata',
  'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/St_Johns',
  'America/Asuncion', 'Asia/Beirut', 'America/Sao_Paulo', 'Asia/Tehran',
] as const; // prettier-ignore
