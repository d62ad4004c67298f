-- Frees slots and gives how many were taken until now. A slot that is gone already changes nothing: it was freed, or its hold
-- has ended. A wrong count, which only a defect can cause, must not keep a report from being booked: it stops at 0, and the
-- doctor tells of it. Accounts of limits of calls in flight are locked after all others: a statement that books usage frees slots last.
CREATE OR REPLACE FUNCTION quota_free_slots(p_lease uuid[]) RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_freed integer;
BEGIN
  IF coalesce(cardinality(p_lease), 0) = 0 THEN RETURN 0; END IF;
  PERFORM FROM budget_account a
    WHERE (a.key_id, a.period) IN (SELECT l.key_id, l.period FROM budget_lease l WHERE l.id = ANY (p_lease))
    ORDER BY a.key_id, a.period FOR UPDATE;
  WITH gone AS (
    DELETE FROM budget_lease l WHERE l.id = ANY (p_lease)
    RETURNING l.key_id, l.period, l.granted_micro_cents - l.settled_micro_cents AS open
  ), freed AS (
    UPDATE budget_account a SET leased_micro_cents = greatest(0, a.leased_micro_cents - s.open)
    FROM (SELECT g.key_id, g.period, sum(g.open)::bigint AS open FROM gone g GROUP BY g.key_id, g.period) s
    WHERE a.key_id = s.key_id AND a.period = s.period
  )
  SELECT count(*) INTO v_freed FROM gone;
  RETURN v_freed;
END $$;
