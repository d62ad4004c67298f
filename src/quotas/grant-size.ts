/**
 * How many permits one acquire may take: what is needed now, or as many as are wanted up to a fair share of the room,
 * and exactly what is needed near the limit, so that the last permits are reachable from every replica. `room` is what
 * is free before `need` is taken; `need` ≤ `room`.
 * @see docs/quotas.md
 */
export function permitSlice(need: number, want: number, room: number, limit: number, live: number): number {
  if (need === 0 || room < 8 * need || room * 50 < limit) return need;
  return Math.max(need, Math.min(want, Math.floor(room / (4 * live))));
}

/**
 * How many permits may be taken ahead, where nothing waits for them: none from the last eighth of the limit, in which
 * calls that wait come first.
 */
export function aheadSlice(want: number, room: number, limit: number, live: number): number {
  return room * 8 < limit ? 0 : Math.min(want, Math.floor(room / (4 * live)));
}
