-- Returns what is left of leases; each lease at most once per call. A return number that was seen before, or a closed
-- lease, changes nothing. A lease of requests ends with its return: what is not returned was used, and is spent
-- (docs/adr/0045).
CREATE OR REPLACE FUNCTION quota_give_back_2(p_lease uuid[], p_number integer[], p_amount bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM budget_account a
    WHERE (a.key_id, a.period) IN (SELECT l.key_id, l.period FROM budget_lease l WHERE l.id = ANY (p_lease))
    ORDER BY a.key_id, a.period FOR UPDATE;
  WITH back AS MATERIALIZED (
    SELECT l.id, l.key_id, l.period, b.number, l.kind = 'counted' AS is_counted, l.granted_micro_cents AS granted,
      least(coalesce(b.amount, l.granted_micro_cents - l.settled_micro_cents), l.granted_micro_cents - l.settled_micro_cents) AS amount
    FROM unnest(p_lease, p_number, p_amount) AS b(id, number, amount)
    JOIN budget_lease l ON l.id = b.id AND l.return_count < b.number
  ), shrunk AS (
    UPDATE budget_lease l SET granted_micro_cents = l.granted_micro_cents - b.amount, return_count = b.number,
      settled_micro_cents = CASE WHEN b.is_counted THEN l.granted_micro_cents - b.amount ELSE l.settled_micro_cents END
    FROM back b WHERE l.id = b.id
  )
  UPDATE budget_account a SET leased_micro_cents = a.leased_micro_cents - s.amount - s.used,
    spent_micro_cents = saturating_add(a.spent_micro_cents, s.used)
  FROM (
    SELECT b.key_id, b.period, sum(b.amount)::bigint AS amount,
      coalesce(sum(b.granted - b.amount) FILTER (WHERE b.is_counted), 0)::bigint AS used
    FROM back b GROUP BY b.key_id, b.period
  ) s
  WHERE a.key_id = s.key_id AND a.period = s.period;
  -- Nothing is open in it: neither memory nor a reservation needs it any more.
  DELETE FROM budget_lease l WHERE l.id = ANY (p_lease) AND l.granted_micro_cents = l.settled_micro_cents;
END $$;
