import type { Admitted } from './sliding-window.js';

/** A call that reserved tokens and was let in. Milliseconds of one clock. */
export interface ReservingCall extends Admitted {
  readonly reserved: number;
  /** When its end was first told to a server: from then on it may count as used; Infinity: never. */
  endsAt: number;
  /** What it has used in the end, by what its report said. */
  used: number;
}

/**
 * The most tokens that certainly counted at one instant, of calls that were let in within so long before: those that a
 * call reserved, and those it used once its end may have been booked. It looks at each instant by which a call has been
 * let in, and at the end of time: between those no sum grows.
 */
export function mostTokens(calls: readonly ReservingCall[], lengthMs: number): number {
  const byStart = [...calls].sort((left, right) => left.start - right.start);
  const sumAt = (from: number, until: number, at: number): number => {
    let sum = 0;
    for (let place = firstFrom(byStart, from); place < byStart.length; place += 1) {
      const call = byStart[place]!;
      if (call.start > until) break;
      if (call.end <= until) sum += at < call.endsAt ? call.reserved : call.used;
    }
    return sum;
  };
  return byStart.reduce(
    (most, { start, end }) => Math.max(most, sumAt(end - lengthMs, end, end), sumAt(start, start + lengthMs, Infinity)),
    0,
  );
}

/** The place of the first call that began at an instant or later. */
function firstFrom(byStart: readonly Admitted[], at: number): number {
  let [low, high] = [0, byStart.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byStart[middle]!.start < at) low = middle + 1;
    else high = middle;
  }
  return low;
}
