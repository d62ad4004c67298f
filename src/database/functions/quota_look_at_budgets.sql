-- Budgets that nothing is taken from: read without a lock, so that it neither waits nor writes. A month that has no row
-- yet is what its row would be: nothing spent, the limit of the key.
-- Returns `month,admit_for_ms,clock_ms,month_ends_in_ms`, then for each account `;found,limit,spent,leased`.
CREATE OR REPLACE FUNCTION quota_look_at_budgets(p_account uuid[], p_type text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_month text := quota_month(v_now);
  v_month_end timestamptz := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  v_clock bigint := quota_ms(v_now);
  v_ends bigint := quota_ms(v_month_end) - v_clock;
  v_found text;
BEGIN
  SELECT string_agg(CASE
      WHEN a.key_id IS NOT NULL THEN concat('1,', a.limit_micro_cents, ',', a.spent_micro_cents, ',', a.leased_micro_cents)
      WHEN u.type = 'total' THEN '0,,0,0'
      ELSE coalesce((SELECT concat('1,', CASE WHEN k.budget_type = 'monthly' THEN k.budget_limit_micro_cents END, ',0,0')
        FROM api_key k WHERE k.id = u.id), '0,,0,0')
    END, ';' ORDER BY u.n) INTO v_found
  FROM unnest(p_account, p_type) WITH ORDINALITY AS u(id, type, n)
  LEFT JOIN budget_account a ON a.key_id = u.id AND a.period = CASE u.type WHEN 'total' THEN 'total' ELSE v_month END;
  RETURN concat_ws(',', v_month, least(10000, v_ends), v_clock, v_ends) || ';' || v_found;
END $$;
