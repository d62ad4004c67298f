/**
 * Calendar periods by their definition alone: [start(d), start(next d)), where d is the latest first date whose start
 * is not after the instant. Every date near the instant is tried. Offsets come from the names that Node gives them;
 * neither PostgreSQL nor the code that the product or its simulation uses is asked.
 */

export type CalendarPer = 'day' | 'week' | 'month';

export interface OraclePeriod {
  /** The local date that it begins with. */
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Dates that are tried on both sides of an instant: more than one period, and what a zone may be ahead or behind. */
const DAYS_AROUND = { day: 3, week: 16, month: 64 } as const;
/** How far a local time and its instant are apart at most, with a day that is skipped. */
const MOST_APART_HOURS = 27;

const formats = new Map<string, Intl.DateTimeFormat>();

/** How far the clocks of a zone are ahead of UTC. */
export function offsetAt(ms: number, zone: string): number {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
    formats.set(zone, format);
  }
  const text = format.formatToParts(ms).find(({ type }) => type === 'timeZoneName')!.value;
  const [, sign, hours = '0', minutes = '0', seconds = '0'] = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(text)!;
  const size = Number(hours) * HOUR_MS + Number(minutes) * 60_000 + Number(seconds) * 1_000;
  return sign === '-' ? -size : size;
}

const starts = new Map<string, number>();

/**
 * The instant that the midnight of a date means: the later one where it comes twice. Where it is skipped, it is counted
 * by the clocks from before.
 */
export function startOf(dateMs: number, zone: string): number {
  const key = `${dateMs} ${zone}`;
  const known = starts.get(key);
  if (known !== undefined) return known;
  const offsets: number[] = [];
  for (let hour = -MOST_APART_HOURS; hour <= MOST_APART_HOURS; hour += 1)
    offsets.push(offsetAt(dateMs + hour * HOUR_MS, zone));
  const real = offsets.map((offset) => dateMs - offset).filter((ms) => ms + offsetAt(ms, zone) === dateMs);
  const start = real.length > 0 ? Math.max(...real) : dateMs - offsets[0]!;
  starts.set(key, start);
  return start;
}

/** Whether a period may begin with a date. */
function isFirst(dateMs: number, per: CalendarPer): boolean {
  const date = new Date(dateMs);
  return per === 'day' || (per === 'week' ? date.getUTCDay() === 1 : date.getUTCDate() === 1);
}

/** The period of an instant. */
export function periodOf(per: CalendarPer, ms: number, zone: string): OraclePeriod {
  const around = DAYS_AROUND[per];
  const today = Math.floor(ms / DAY_MS);
  const dates = Array.from({ length: 2 * around + 1 }, (_, index) => (today - around + index) * DAY_MS);
  const first = dates.filter((dateMs) => isFirst(dateMs, per));
  const at = first.findLastIndex((dateMs) => startOf(dateMs, zone) <= ms);
  return { name: dateNamed(first[at]!), startMs: startOf(first[at]!, zone), endMs: startOf(first[at + 1]!, zone) };
}

/** The name of the period that a comparison of local dates would find: what the rule above is not. */
export function nameByLocalDate(per: CalendarPer, ms: number, zone: string): string {
  let dateMs = Math.floor((ms + offsetAt(ms, zone)) / DAY_MS) * DAY_MS;
  while (!isFirst(dateMs, per)) dateMs -= DAY_MS;
  return dateNamed(dateMs);
}

/** Instants of some years at which the clocks of a zone change, to the minute. */
export function changesOf(zone: string, fromMs: number, untilMs: number): number[] {
  const changes: number[] = [];
  const step = 14 * DAY_MS;
  for (let ms = fromMs; ms < untilMs; ms += step) {
    if (offsetAt(ms, zone) === offsetAt(ms + step, zone)) continue;
    let [before, after] = [ms, ms + step];
    while (after - before > 60_000) {
      const middle = Math.floor((before + after) / 120_000) * 60_000;
      if (offsetAt(middle, zone) === offsetAt(before, zone)) before = middle;
      else after = middle;
    }
    changes.push(after);
  }
  return changes;
}

function dateNamed(ms: number): string {
  return new Date(ms).toISOString().slice(0, 'YYYY-MM-DD'.length);
}
