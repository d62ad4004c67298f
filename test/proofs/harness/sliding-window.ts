/** An admitted call: it was decided at some instant from `start` to `end`, in milliseconds. */
export interface Admitted {
  readonly start: number;
  readonly end: number;
}

/**
 * The most calls that were certainly admitted within one interval of this length: those that began and ended in it.
 * What it finds above a limit is over the limit, wherever in its own time each call was decided. It looks at every
 * interval that begins where a call begins: no other can hold more.
 */
export function mostWithin(calls: readonly Admitted[], lengthMs: number): number {
  const byStart = [...calls].sort((left, right) => left.start - right.start);
  let most = 0;
  for (let first = 0; first < byStart.length; first += 1) {
    const latest = byStart[first]!.start + lengthMs;
    let within = 0;
    for (let at = first; at < byStart.length && byStart[at]!.start <= latest; at += 1)
      if (byStart[at]!.end <= latest) within += 1;
    most = Math.max(most, within);
  }
  return most;
}
