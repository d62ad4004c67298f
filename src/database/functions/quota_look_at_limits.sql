-- Accounts of limits that nothing is taken from: read without a lock, so that it neither waits nor writes. An account that is
-- missing is what its row would be: nothing spent. The amount is that of the rule, with an override while it runs; what is
-- told is good until the override or the period ends, at the latest. Null: it refuses nothing.
-- Returns `month,clock_ms`, then for each account `;found,period,limit,spent,leased,admit_for_ms,ends_in_ms`.
CREATE OR REPLACE FUNCTION quota_look_at_limits(p_account uuid[], p_limit uuid[], p_member uuid[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_clock bigint := quota_ms(v_now);
  v_month_end timestamptz := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  v_found text;
BEGIN
  SELECT string_agg(concat_ws(',', (l.id IS NOT NULL)::integer, concat(f.name),
      concat(CASE WHEN l.ended_at IS NULL AND l.mode = 'enforce' THEN coalesce(o.amount, l.amount) END),
      coalesce(a.spent_micro_cents, 0), coalesce(a.leased_micro_cents, 0),
      quota_ms(least(v_now + interval '10 seconds', v_month_end, f.ends_at, o.until)) - v_clock,
      quota_ms(CASE WHEN f.ends_at < 'infinity' THEN f.ends_at ELSE v_month_end END) - v_clock), ';' ORDER BY u.n)
    INTO v_found
  FROM unnest(p_account, p_limit, p_member) WITH ORDINALITY AS u(account, lim, member, n)
  LEFT JOIN quota_limit l ON l.id = u.lim
  LEFT JOIN LATERAL limit_period_at(v_now, l.per, l.time_zone) f ON l.id IS NOT NULL
  LEFT JOIN quota_limit_override o ON o.limit_id = l.id AND o.member_id = u.member AND coalesce(o.until, 'infinity') > v_now
  LEFT JOIN budget_account a ON a.key_id = u.account AND a.period = f.name;
  RETURN concat_ws(',', quota_month(v_now), v_clock) || ';' || v_found;
END $$;
