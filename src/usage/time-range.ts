import { type FieldError, validationFailed } from '../common/domain-error.js';
import { instantOrDayFrom } from '../../packages/contract/src/instant.js';
import { TimeZone } from './time-zone.js';

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
