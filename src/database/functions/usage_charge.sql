-- Charges the costs of a batch that nobody reserved to its keys' accounts, the total and that of a month, where each of them
-- is there; false: nothing was charged, and `quota_settle_5` decides each entry by itself. One update, without a look
-- before it: a row that is missing shows in the count. Rows are locked by key and period, as everywhere: one group a key,
-- in their order, looks up its rows in the index, by period. A bitmap of them would lock by their place in the table, and so
-- the total before the month, which settlements lock in the other order. Sums saturate (docs/adr/0031).
CREATE OR REPLACE FUNCTION usage_charge(e_key uuid[], e_amount bigint[], p_month text) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off AS $$
DECLARE
  v_keys integer;
  v_charged integer;
BEGIN
  SELECT count(*) INTO v_keys FROM (
    SELECT FROM unnest(e_key, e_amount) AS e(key, amount) GROUP BY e.key HAVING max(e.amount) > 0) k;
  UPDATE budget_account a SET
    spent_micro_cents = saturating_add(a.spent_micro_cents, s.amount),
    overdraft_micro_cents = a.overdraft_micro_cents + CASE WHEN a.limit_micro_cents IS NULL THEN 0 ELSE greatest(0, least(
      saturating_add(a.spent_micro_cents, s.amount) - a.spent_micro_cents,
      saturating_add(a.spent_micro_cents, s.amount) + a.leased_micro_cents - a.limit_micro_cents)) END
  FROM (
    SELECT e.key, saturated(sum(e.amount)) AS amount FROM unnest(e_key, e_amount) AS e(key, amount)
    GROUP BY e.key HAVING max(e.amount) > 0 ORDER BY e.key
  ) s
  WHERE a.key_id = s.key AND a.period = ANY (ARRAY[p_month, 'total']);
  GET DIAGNOSTICS v_charged = ROW_COUNT;
  -- What costs nothing charges nothing, but its key must be one.
  PERFORM FROM unnest(e_key, e_amount) AS e(key, amount)
    WHERE e.amount = 0 AND NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = e.key AND a.period = 'total');
  IF FOUND OR v_charged < 2 * v_keys THEN
    RAISE EXCEPTION 'An account is missing' USING ERRCODE = 'no_data_found';
  END IF;
  RETURN true;
EXCEPTION WHEN no_data_found OR check_violation THEN
  RETURN false;
END $$;
