/**
 * What is used and what is held of an account `a`, which may be missing, of a limit `l`, as SQL: one rule for all who
 * tell of limits. A request is used when a replica takes it for its next calls (docs/adr/0045), and a slot while a call
 * has it: of both nothing is held.
 */
const IS_USED_AT_ONCE = `l.unit IN ('requests', 'slots')`;
const CHARGED = 'coalesce(a.spent_micro_cents, 0)';

/** What a replica or a reservation has of the account, of whatever unit. */
export const LEASED = 'coalesce(a.leased_micro_cents, 0)';
export const SPENT = `CASE WHEN ${IS_USED_AT_ONCE} THEN saturating_add(${CHARGED}, ${LEASED}) ELSE ${CHARGED} END`;
export const HELD = `CASE WHEN ${IS_USED_AT_ONCE} THEN 0 ELSE ${LEASED} END`;
