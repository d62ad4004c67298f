/**
 * Calendar periods of time zones, in plain arithmetic over the zones that Node knows. The product computes them in
 * PostgreSQL (`limit_period.sql`); this is the second book that PostgreSQL and the simulation are compared with.
 */

/** How often a calendar limit starts anew. */
export type CalendarPer = 'day' | 'week' | 'month';

/** A period: `[startMs, endMs)`, named by the local date it starts with. */
export interface ZonePeriod {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** Local time of an instant, as if it were UTC. */
export function localMs(ms: number, zone: string): number {
  let format = formats.get(zone);
  if (format === undefined) {
    const two = '2-digit' as const;
    format = new Intl.DateTimeFormat('en-US-u-hc-h23', {
      timeZone: zone, era: 'short', year: 'numeric', month: two, day: two, hour: two, minute: two, second: two,
    }); // prettier-ignore
    formats.set(zone, format);
  }
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(ms)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/**
 * The instant that a local midnight means, as PostgreSQL's `date::timestamp AT TIME ZONE zone`: the later one where
 * it comes twice; where it is skipped, the instant by the offset from before.
 */
export function startOfDate(date: string, zone: string): number {
  const midnight = Date.parse(`${date}T00:00:00Z`);
  const offsetAt = (ms: number): number => localMs(ms, zone) - ms;
  const before = midnight - offsetAt(midnight - DAY_MS);
  const after = midnight - offsetAt(midnight + DAY_MS);
  const real = [before, after].filter((ms) => localMs(ms, zone) === midnight);
  return real.length > 0 ? Math.max(...real) : before;
}

/** The first date of the period of a local date, and that of the next one. */
function firstDates(per: CalendarPer, localDateMs: number): [string, string] {
  const date = new Date(localDateMs);
  if (per === 'day') return [dateOf(localDateMs), dateOf(localDateMs + DAY_MS)];
  if (per === 'week') {
    const monday = localDateMs - ((date.getUTCDay() + 6) % 7) * DAY_MS;
    return [dateOf(monday), dateOf(monday + 7 * DAY_MS)];
  }
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return [dateOf(Date.UTC(year, month, 1)), dateOf(Date.UTC(year, month + 1, 1))];
}

const named = new Map<string, ZonePeriod>();

/** The period that a date names. */
export function periodNamed(per: CalendarPer, name: string, zone: string): ZonePeriod {
  const key = `${per} ${name} ${zone}`;
  const period = named.get(key) ?? computeNamed(per, name, zone);
  named.set(key, period);
  return period;
}

function computeNamed(per: CalendarPer, name: string, zone: string): ZonePeriod {
  const [first, next] = firstDates(per, Date.parse(`${name}T00:00:00Z`));
  return { name: first, startMs: startOfDate(first, zone), endMs: startOfDate(next, zone) };
}

/** The last period that each rule has given: instants come in order, and zones are slow to ask. */
const latest = new Map<string, ZonePeriod>();

/** The period of an instant. */
export function periodAt(per: CalendarPer, ms: number, zone: string): ZonePeriod {
  const known = latest.get(`${per} ${zone}`);
  if (known !== undefined && known.startMs <= ms && ms < known.endMs) return known;
  const period = computePeriod(per, ms, zone);
  latest.set(`${per} ${zone}`, period);
  return period;
}

/** That of the local date, or the one before where the start of that lies ahead. */
function computePeriod(per: CalendarPer, ms: number, zone: string): ZonePeriod {
  const today = dateOf(localMs(ms, zone));
  const period = periodNamed(per, today, zone);
  if (period.startMs <= ms) return period;
  return periodNamed(per, dateOf(Date.parse(`${period.name}T00:00:00Z`) - DAY_MS), zone);
}

/** The date of a local instant. */
export function dateOf(local: number): string {
  return new Date(local).toISOString().slice(0, 10);
}
