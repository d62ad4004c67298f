/**
 * What is used and what is held of an account `a`, which may be missing, of a limit `l`, as SQL: one rule for all who
 * tell of limits. A request is used when a replica takes it for its next calls (docs/adr/0045), and a slot while a call
 * has it: of both nothing is held.
 */
const IS_USED_AT_ONCE = `l.unit IN ('requests', 'slots')`;
const CHARGED = 'coalesce(a.spent_micro_cents, 0)';

/** Whether a limit `l` counts in a window that ends now. Its account is a row of `rate_window`. */
export const IS_SLIDING = `coalesce(l.per IN ('minute', 'hour'), false)`;
/**
 * The state `s` of a window `w` of a limit `l`. The clock is a column: PostgreSQL calls a function that is given a
 * volatile value, instead of making it a part of the statement, and that takes twenty times as long.
 */
export const STATE_OF_WINDOW = `(SELECT state.* FROM (SELECT quota_ms(quota_clock()) AS ms) AS clock
    CROSS JOIN LATERAL limit_window_state(l.per, w.at_ms, w.minute_cells, w.hour_cells, clock.ms) AS state) AS s`;
/** The window `w` of a member `m` of a limit `l`, and its state `s`; none where it counts by the calendar. */
export const WINDOW_STATE = `
  LEFT JOIN rate_window w ON ${IS_SLIDING} AND w.key_id = limit_account_id_2(l.id, m.id)
  LEFT JOIN LATERAL ${STATE_OF_WINDOW} ON ${IS_SLIDING}`;
/**
 * When the account of a limit `l` in a period `p` began, and when it counts from 0 again; of a window that is when
 * nothing counts any more of what has been used, and null where nothing does.
 */
export const STARTS_AT = `CASE WHEN NOT ${IS_SLIDING} THEN nullif(p.starts_at, '-infinity') END`;
export const ENDS_AT = `CASE WHEN NOT ${IS_SLIDING} THEN nullif(p.ends_at, 'infinity')
    WHEN s.reset_ms > 0 THEN quota_clock() + make_interval(secs => s.reset_ms / 1000.0) END`;

/** What a replica or a reservation has of the account, of whatever unit. */
export const LEASED = 'coalesce(a.leased_micro_cents, 0)';
/** What is used of the account `a` of a limit that counts by the calendar, in total, or calls in flight. */
export const SPENT_OF_ACCOUNT = `CASE WHEN ${IS_USED_AT_ONCE} THEN saturating_add(${CHARGED}, ${LEASED}) ELSE ${CHARGED} END`;
/** What is used of the window `s` of a limit. */
export const SPENT_OF_WINDOW = 'coalesce(s.used, 0)';
const SUM_OF_WINDOW = `w.sums[CASE l.per WHEN 'minute' THEN 1 ELSE 2 END]`;
/**
 * No less than that, told by the row of the window `w` alone: what has left the window since it was written counts
 * here. Sums stop at 2·10⁹, and say nothing of more.
 */
export const MOST_OF_WINDOW = `CASE WHEN ${SUM_OF_WINDOW} < 2000000000 THEN ${SUM_OF_WINDOW} ELSE 9000000000000000000 END`;
export const SPENT = `CASE WHEN ${IS_SLIDING} THEN ${SPENT_OF_WINDOW} ELSE ${SPENT_OF_ACCOUNT} END`;
export const HELD = `CASE WHEN ${IS_USED_AT_ONCE} THEN 0 ELSE ${LEASED} END`;
