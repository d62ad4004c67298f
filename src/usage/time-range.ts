import { type FieldError, validationFailed } from '../common/domain-error.js';
import { instantOrDayFrom } from '../../packages/contract/src/instant.js';
import { dayText, TimeZone } from './time-zone.js';

/** A stretch of time that starts and ends on a whole step; `to` does not belong to it. */
export interface TimeRange {
  readonly from: Date;
  readonly to: Date;
}

/** What the ends of ranges are rounded down to, by the clocks of the zone. */
export type Step = 'minute' | 'hour' | 'day';

/** What a range may be. */
export interface RangeRules {
  readonly step: Step;
  /** Without a `from`. */
  readonly defaultMs: number;
  readonly maxMs: number;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

const STEP_MS = { minute: 60_000, hour: HOUR_MS } as const;
/** A range of whole days is longer than so many times 24 hours where clocks are put back in it. */
const MAX_CLOCK_CHANGE_MS = 2 * HOUR_MS;
/** The length of a day in a text. */
const DAY_CHARACTERS = 10;

/**
 * The range that a caller asks for. Both ends are rounded down to whole steps, so that ranges which meet share nothing.
 * Without `to` it ends with the running step, without `from` it has a default length. A plain day is its start in the
 * zone.
 *
 * @throws DomainError 400 for texts that are no instants, for a range without a step, and for too long a range
 */
export function rangeOf(
  asked: { from?: string | undefined; to?: string | undefined },
  rules: RangeRules,
  now: Date,
  zone = TimeZone.UTC,
): TimeRange {
  const errors: FieldError[] = [];
  const read = (field: 'from' | 'to') => {
    const text = asked[field];
    if (text === undefined) return null;
    const instant = instantOrDayFrom(text);
    if (instant === null) {
      errors.push({ path: field, message: 'must be an instant such as 2026-11-21T00:00:00Z, or a day' });
      return null;
    }
    return text.length === DAY_CHARACTERS ? zone.startOf(instant.getTime() / DAY_MS) : instant.getTime();
  };
  const [from, to] = [read('from'), read('to')];
  if (errors.length > 0) throw validationFailed(errors);
  const end = to === null ? endOfStep(now.getTime(), rules.step, zone) : startOfStep(to, rules.step, zone);
  const start = from === null ? startBefore(end, rules, zone) : startOfStep(from, rules.step, zone);
  if (start >= end) throw validationFailed([{ path: 'from', message: emptyRange(from, to, rules.step) }]);
  if (end - start > rules.maxMs + MAX_CLOCK_CHANGE_MS)
    throw validationFailed([{ path: 'from', message: `must not be more than ${rules.maxMs / DAY_MS} days before to` }]);
  return { from: new Date(start), to: new Date(end) };
}

/** From the start of the running month to the end of the running hour, by the clocks of the zone. */
export function monthToDate(now: Date, zone = TimeZone.UTC): TimeRange {
  const from = zone.startOf(firstOfMonth(zone.dayOf(now.getTime())));
  // At the first instant of a month the hour that begins: a range has a step.
  const to = Math.max(endOfStep(now.getTime(), 'hour', zone), from + HOUR_MS);
  return { from: new Date(from), to: new Date(to) };
}

/**
 * The month before a month to date, to the same day and time of day; to its end, where it has fewer days. A range of
 * any other kind is as long as the one that follows it.
 */
export function rangeBefore({ from, to }: TimeRange, period: 'month' | undefined, zone = TimeZone.UTC): TimeRange {
  if (period === undefined) return { from: new Date(2 * from.getTime() - to.getTime()), to: from };
  const first = zone.dayOf(from.getTime());
  // The end does not belong to the range: at the end of a day it is still that day.
  const last = zone.dayOf(to.getTime() - 1);
  const firstBefore = firstOfMonth(first - 1);
  const sameTime = zone.startOf(firstBefore + last - first) + to.getTime() - zone.startOf(last);
  return { from: new Date(zone.startOf(firstBefore)), to: new Date(Math.min(sameTime, from.getTime())) };
}

function firstOfMonth(day: number): number {
  return Date.parse(`${dayText(day).slice(0, 8)}01T00:00:00Z`) / DAY_MS;
}

/** The starts of all steps of a range; the first is its own, whatever that is. */
export function stepsOf({ from, to }: TimeRange, step: Step, zone = TimeZone.UTC): Date[] {
  const starts = [from];
  const nextOf = step === 'day' ? dayStarts(from, zone) : (at: number) => at + STEP_MS[step];
  for (let at = nextOf(from.getTime()); at < to.getTime(); at = nextOf(at)) starts.push(new Date(at));
  return starts;
}

/** Goes on day by day, and passes over days that the zone has left out. */
function dayStarts(from: Date, zone: TimeZone): (at: number) => number {
  let day = zone.dayOf(from.getTime());
  return (at) => {
    let next = at;
    while (next <= at) next = zone.startOf(++day);
    return next;
  };
}

function startOfStep(atMs: number, step: Step, zone: TimeZone): number {
  if (step === 'day') return zone.startOf(zone.dayOf(atMs));
  const offset = zone.offsetMs(atMs);
  return Math.floor((atMs + offset) / STEP_MS[step]) * STEP_MS[step] - offset;
}

function endOfStep(atMs: number, step: Step, zone: TimeZone): number {
  const start = startOfStep(atMs, step, zone);
  if (start === atMs) return start;
  return step === 'day' ? zone.startOf(zone.dayOf(atMs) + 1) : start + STEP_MS[step];
}

function startBefore(end: number, { step, defaultMs }: RangeRules, zone: TimeZone): number {
  return step === 'day' ? zone.startOf(zone.dayOf(end) - defaultMs / DAY_MS) : end - defaultMs;
}

function emptyRange(from: number | null, to: number | null, step: Step): string {
  if (from === null || to === null || from >= to) return 'must be before to';
  return `must be in an earlier ${step} than to: both are rounded down to a whole ${step}`;
}
