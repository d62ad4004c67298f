/**
 * How much one acquire may take: what is needed now, or as much as is wanted up to a fair share of the room, and
 * exactly what is needed near the limit, so that the last cents are reachable from every replica.
 * `room` is what is free before `need` is taken; `need` ≤ `room`.
 * @see docs/quotas.md
 */
export function budgetSlice(need: bigint, want: bigint, room: bigint, limit: bigint | null, live: number): bigint {
  if (limit === null || need === 0n || room < 8n * need || room * 50n < limit) return need;
  const share = room / BigInt(4 * live);
  const extra = want < share ? want : share;
  return extra > need ? extra : need;
}

/** The same rule for permits. */
export function permitSlice(need: number, want: number, room: number, limit: number, live: number): number {
  if (need === 0 || room < 8 * need || room * 50 < limit) return need;
  return Math.max(need, Math.min(want, Math.floor(room / (4 * live))));
}
