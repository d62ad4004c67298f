-- Charges accounts of limits with what `limit_accounts_prepare` gave, and frees what was held of them. All who use a limit wait
-- for its account: it is locked last, when everything is summed up (docs/adr/0051). An account of tokens is charged with the
-- tokens of an entry and holds those that it reserved, every other one with cents (docs/adr/0045). A hold without a lease was
-- not held. Sums saturate (docs/adr/0031). The amount in force is written into the accounts once they are locked.
-- `e_late` says of which entries a lease was missing when they were decided, `e_has_ended` of which nothing was held any more. A
-- janitor or a sweep that came between makes it a serialization failure: the caller decides all of it again.
CREATE OR REPLACE FUNCTION limit_accounts_charge(
  e_late boolean[], e_has_ended boolean[], e_reserved bigint[], e_amount bigint[], e_reserved_tokens bigint[], e_tokens bigint[],
  h_event integer[], h_account uuid[], h_period text[], h_lease uuid[], h_is_tokens boolean[]
) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_size bigint[]; v_amount bigint[]; v_is_gone boolean;
  v_account uuid[]; v_period text[]; v_spent bigint[]; v_freed bigint[]; v_uncovered bigint[];
  v_lease uuid[]; v_used bigint[]; v_rest bigint[];
  v_count integer;
BEGIN
  IF coalesce(cardinality(h_event), 0) = 0 THEN RETURN; END IF;
  SELECT array_agg(CASE WHEN h.is_tokens THEN coalesce(e_tokens[h.event], 0) ELSE e_amount[h.event] END ORDER BY h.n),
      array_agg(CASE WHEN b.id IS NULL OR e_has_ended[h.event] THEN 0
        WHEN h.is_tokens THEN coalesce(e_reserved_tokens[h.event], 0) ELSE e_reserved[h.event] END ORDER BY h.n),
      bool_or(h.lease IS NOT NULL AND b.id IS NULL AND NOT e_late[h.event])
    INTO v_amount, v_size, v_is_gone
    FROM unnest(h_event, h_lease, h_is_tokens) WITH ORDINALITY AS h(event, lease, is_tokens, n) LEFT JOIN budget_lease b ON b.id = h.lease;
  SELECT array_agg(s.account), array_agg(s.period), array_agg(saturated(s.amount)), array_agg(s.size::bigint), array_agg(saturated(s.uncovered))
    INTO v_account, v_period, v_spent, v_freed, v_uncovered
    FROM (
      SELECT p.account, p.period, sum(p.amount) AS amount, sum(p.size) AS size, sum(p.amount - least(p.amount, p.size)) AS uncovered
      FROM (
        SELECT h.account, h.period, max(h.amount) AS amount, max(h.size) AS size
        FROM unnest(h_event, h_account, h_period, v_amount, v_size) AS h(event, account, period, amount, size)
        GROUP BY h.account, h.period, h.event
      ) p GROUP BY p.account, p.period
    ) s;
  SELECT array_agg(s.lease), array_agg(s.used), array_agg(s.rest) INTO v_lease, v_used, v_rest
    FROM (
      SELECT h.lease, sum(least(h.amount, h.size))::bigint AS used, sum(h.size - least(h.amount, h.size))::bigint AS rest
      FROM unnest(h_lease, v_amount, v_size) AS h(lease, amount, size) WHERE h.size > 0 GROUP BY h.lease
    ) s;
  PERFORM FROM budget_account a JOIN unnest(v_account, v_period) AS n(account, period) ON a.key_id = n.account AND a.period = n.period
    ORDER BY a.key_id, a.period FOR UPDATE OF a;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count < cardinality(v_account) THEN
    RAISE EXCEPTION 'An account of a limit that was to be charged is gone' USING ERRCODE = 'serialization_failure';
  END IF;
  PERFORM limit_accounts_refresh(v_account, v_period);
  IF v_lease IS NOT NULL THEN
    UPDATE budget_lease l SET settled_micro_cents = l.settled_micro_cents + s.used, granted_micro_cents = l.granted_micro_cents - s.rest
      FROM unnest(v_lease, v_used, v_rest) AS s(lease, used, rest) WHERE l.id = s.lease;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_is_gone := v_is_gone OR v_count < cardinality(v_lease);
  END IF;
  IF v_is_gone THEN
    RAISE EXCEPTION 'A lease of a limit was closed meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
  UPDATE budget_account a SET
    spent_micro_cents = saturating_add(a.spent_micro_cents, s.amount),
    leased_micro_cents = a.leased_micro_cents - s.size,
    overdraft_micro_cents = a.overdraft_micro_cents + CASE WHEN a.limit_micro_cents IS NULL THEN 0 ELSE greatest(0, least(
      s.uncovered, saturating_add(a.spent_micro_cents, s.amount) - a.spent_micro_cents,
      saturating_add(a.spent_micro_cents, s.amount) + a.leased_micro_cents - s.size - a.limit_micro_cents)) END
  FROM unnest(v_account, v_period, v_spent, v_freed, v_uncovered) AS s(account, period, amount, size, uncovered)
  WHERE a.key_id = s.account AND a.period = s.period;
END $$;
