-- Budgets that nothing is taken from: read without a lock, so that it neither waits nor writes. A month that has no row
-- yet is what its row would be: nothing spent, the limit of the key. The limit is the one that holds now, with a raise while
-- it runs; what is told of such a budget is good until the raise ends, at the latest.
-- Returns `month,clock_ms,month_ends_in_ms`, then for each account `;found,limit,spent,leased,raise,admit_for_ms`.
CREATE OR REPLACE FUNCTION quota_look_at_budgets_2(p_account uuid[], p_type text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_month text := quota_month(v_now);
  v_month_end timestamptz := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  v_clock bigint := quota_ms(v_now);
  v_ends bigint := quota_ms(v_month_end) - v_clock;
  v_found text;
BEGIN
  SELECT string_agg(concat_ws(',', (a.key_id IS NOT NULL OR k.id IS NOT NULL)::integer,
      concat(coalesce(a.limit_micro_cents, k.budget_limit_micro_cents) + coalesce(r.raise, 0)), coalesce(a.spent_micro_cents, 0),
      coalesce(a.leased_micro_cents, 0), coalesce(r.raise, 0), least(10000, v_ends, quota_ms(r.until) - v_clock)), ';' ORDER BY u.n)
    INTO v_found
  FROM unnest(p_account, p_type) WITH ORDINALITY AS u(id, type, n)
  LEFT JOIN budget_account a ON a.key_id = u.id AND a.period = CASE u.type WHEN 'total' THEN 'total' ELSE v_month END
  LEFT JOIN LATERAL (
    SELECT k.id, k.budget_raise, CASE WHEN k.budget_type = 'monthly' THEN k.budget_limit_micro_cents END AS budget_limit_micro_cents
      FROM api_key k WHERE a.key_id IS NULL AND u.type = 'monthly' AND k.id = u.id
  ) k ON true
  LEFT JOIN LATERAL (
    SELECT a.raise_micro_cents AS raise, a.raise_until AS until WHERE a.raise_until > v_now
    UNION ALL
    SELECT quota_raise(k.budget_raise), (k.budget_raise->>'until')::timestamptz
      WHERE k.budget_limit_micro_cents IS NOT NULL AND (k.budget_raise->>'until')::timestamptz > v_now
  ) r ON true;
  RETURN concat_ws(',', v_month, v_clock, v_ends) || ';' || v_found;
END $$;
