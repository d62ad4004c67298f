-- Charges and releases as `quota_settle_5`, accounts of limits after those of keys, and at last frees slots (`s_`) and ends
-- what is held in windows of tokens (`w_`). An entry that violates the overspend
-- constraint of one, which only a defect can cause, is told apart from the others by trying them one by one.
CREATE OR REPLACE FUNCTION quota_settle_with_limits(
  e_kind text[], e_key uuid[], e_reservation uuid[], e_month text[], e_reserved bigint[], e_amount bigint[], e_by text[], e_default bigint[],
  h_event integer[], h_account uuid[], h_period text[], h_lease uuid[], e_reserved_tokens bigint[], e_tokens bigint[],
  s_event integer[], s_lease uuid[], w_event integer[], w_account uuid[], w_epoch bigint[], w_bucket bigint[]
) RETURNS TABLE (event integer, outcome text, is_late boolean, excess bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_outcome text[];
  v_late boolean[];
  v_excess bigint[];
  v_has_ended boolean[];
BEGIN
  BEGIN
    SELECT array_agg(s.outcome ORDER BY s.event), array_agg(s.is_late ORDER BY s.event), array_agg(s.excess ORDER BY s.event),
        array_agg(s.has_ended ORDER BY s.event)
      INTO v_outcome, v_late, v_excess, v_has_ended
      FROM quota_settle_5(e_kind, e_key, e_reservation, e_month, e_reserved, e_amount, e_by, e_default, h_event, h_account, h_period, h_lease) s;
    PERFORM limit_accounts_charge(v_late, v_has_ended, e_reserved, e_amount, e_reserved_tokens, e_tokens,
        array_agg(c.event), array_agg(c.account), array_agg(c.period), array_agg(c.lease), array_agg(c.is_tokens))
      FROM limit_accounts_prepare(e_key, v_outcome, h_event, h_account, h_period, h_lease, '{}', '{}') c;
    IF cardinality(s_lease) > 0 THEN PERFORM quota_free_slots(s_lease); END IF;
    PERFORM token_windows_charge(e_key, v_outcome, v_has_ended, e_reserved_tokens, e_tokens, w_event, w_account, w_epoch, w_bucket, '{}', '{}');
  EXCEPTION WHEN check_violation THEN
    IF cardinality(e_kind) = 1 THEN
      RETURN QUERY SELECT 1, 'refused'::text, false, 0::bigint;
      RETURN;
    END IF;
    FOR i IN 1 .. cardinality(e_kind) LOOP
      RETURN QUERY
        SELECT i, s.outcome, s.is_late, s.excess FROM quota_settle_with_limits(
          e_kind[i:i], e_key[i:i], e_reservation[i:i], e_month[i:i], e_reserved[i:i], e_amount[i:i], e_by[i:i], e_default[i:i],
          (SELECT coalesce(array_agg(1), '{}') FROM unnest(h_event) AS h(event) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_account) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_period) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_lease) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          e_reserved_tokens[i:i], e_tokens[i:i],
          (SELECT coalesce(array_agg(1), '{}') FROM unnest(s_event) AS h(event) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(s_event, s_lease) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(1), '{}') FROM unnest(w_event) AS h(event) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(w_event, w_account) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(w_event, w_epoch) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(w_event, w_bucket) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i)
        ) s;
    END LOOP;
    RETURN;
  END;
  RETURN QUERY SELECT e.n::integer, e.outcome, e.is_late, e.excess
    FROM unnest(v_outcome, v_late, v_excess) WITH ORDINALITY AS e(outcome, is_late, excess, n) ORDER BY e.n;
END $$;
