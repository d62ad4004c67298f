import { type FieldError, validationFailed } from '../common/domain-error.js';
import { instantOrDayFrom } from '../../packages/contract/src/instant.js';

/** A stretch of time that starts and ends on a whole step; `to` does not belong to it. */
export interface TimeRange {
  readonly from: Date;
  readonly to: Date;
}

/** What a range may be. */
export interface RangeRules {
  /** Both ends are widened to whole steps, in UTC. */
  readonly stepMs: number;
  /** Without a `from`. */
  readonly defaultMs: number;
  readonly maxMs: number;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/**
 * The range that a caller asks for; without `to` until now, without `from` a default stretch before `to`.
 *
 * @throws DomainError 400 for texts that are no instants, for an end before the start, and for too long a range
 */
export function rangeOf(
  asked: { from?: string | undefined; to?: string | undefined },
  rules: RangeRules,
  now: Date,
): TimeRange {
  const errors: FieldError[] = [];
  const read = (field: 'from' | 'to') => {
    const text = asked[field];
    if (text === undefined) return null;
    const instant = instantOrDayFrom(text);
    if (instant === null)
      errors.push({ path: field, message: 'must be an instant such as 2026-11-21T00:00:00Z, or a day' });
    return instant;
  };
  const [from, to] = [read('from'), read('to')];
  if (errors.length > 0) throw validationFailed(errors);
  const end = ceil((to ?? now).getTime(), rules.stepMs);
  const start = from === null ? end - rules.defaultMs : floor(from.getTime(), rules.stepMs);
  if (start >= end) throw validationFailed([{ path: 'from', message: 'must be before to' }]);
  if (end - start > rules.maxMs)
    throw validationFailed([{ path: 'from', message: `must not be more than ${rules.maxMs / DAY_MS} days before to` }]);
  return { from: new Date(start), to: new Date(end) };
}

/** The starts of all steps of a range. */
export function stepsOf({ from, to }: TimeRange, stepMs: number): Date[] {
  return Array.from(
    { length: (to.getTime() - from.getTime()) / stepMs },
    (_, index) => new Date(from.getTime() + index * stepMs),
  );
}

function floor(ms: number, stepMs: number): number {
  return Math.floor(ms / stepMs) * stepMs;
}

/** `to` itself is outside, so an end on a step stays where it is. */
function ceil(ms: number, stepMs: number): number {
  return Math.ceil(ms / stepMs) * stepMs;
}
