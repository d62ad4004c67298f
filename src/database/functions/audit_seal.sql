-- Removes the entries of a sealed segment from the trail of changes, up to `p_to`, and keeps those that still tell a
-- state: the newest entry about each field of each thing, those that name secrets of a key that exists, and a few acts
-- of the system that later checks look for. The last entry of the segment stays as well: the next one builds on its
-- hash. It has the rights of the schema's owner, because the application can remove no entry. It refuses a segment that
-- does not follow the last one, and entries younger than 35 days, whatever the caller says.
CREATE OR REPLACE FUNCTION audit_seal(p_to bigint, p_hash bytea, p_summary json) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  DECLARE
    v_after bigint;
    v_first bytea;
    v_found record;
    v_gone bigint[];
  BEGIN
    -- One at a time; readers do not wait.
    LOCK TABLE public.audit_segment IN SHARE ROW EXCLUSIVE MODE;
    SELECT coalesce(max(s.to_seq), 0) INTO v_after FROM public.audit_segment s;
    v_first := coalesce((SELECT e.hash FROM public.audit_event e WHERE e.seq = v_after), decode(repeat('00', 32), 'hex'));
    SELECT count(*) AS entries, coalesce(max(e.at), 'infinity') AS newest, bool_or(e.seq = p_to AND e.hash = p_hash) AS ends
      INTO v_found FROM public.audit_event e WHERE e.seq > v_after AND e.seq <= p_to;
    IF v_found.ends IS NOT TRUE OR v_found.entries <> p_to - v_after THEN
      RAISE EXCEPTION 'The segment does not have the entries of the trail behind %.', v_after USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF v_found.newest > now() - interval '35 days' THEN
      RAISE EXCEPTION 'Entries of the audit trail are not removed before they are 35 days old.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.audit_segment (from_seq, to_seq, previous_hash, hash, summary)
         VALUES (v_after + 1, p_to, v_first, p_hash, p_summary);

    -- Things that the segment tells of, with what is known of them up to its end.
    WITH thing AS (
      SELECT DISTINCT e.resource_type, e.resource_id FROM public.audit_event e
       WHERE e.seq > v_after AND e.seq <= p_to AND e.outcome = 'success' AND e.resource_id IS NOT NULL
    ), about AS MATERIALIZED (
      SELECT e.seq, e.resource_type, e.resource_id, e.action, e.changes, e.details
        FROM thing t JOIN public.audit_event e ON e.resource_type = t.resource_type AND e.resource_id = t.resource_id
       WHERE e.seq <= p_to AND e.outcome = 'success'
    ), told AS MATERIALIZED (
      SELECT max(a.seq) AS seq FROM about a, jsonb_array_elements(a.changes) AS c
       GROUP BY a.resource_type, a.resource_id, c->>'field'
      UNION
      SELECT max(a.seq) FROM about a
       WHERE a.resource_type = 'user' AND a.action IN ('second-factors:activate', 'second-factors:delete') GROUP BY a.resource_id
      UNION
      SELECT a.seq FROM about a WHERE a.action IN ('users:create', 'users:erase', 'system:accept-row')
      UNION
      SELECT a.seq FROM about a
       WHERE a.resource_type = 'api-key' AND a.details ?| ARRAY['kid', 'previousKid', 'endedKids']
         AND EXISTS (SELECT FROM public.api_key k
                      WHERE k.id = CASE WHEN a.resource_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN a.resource_id::uuid END)
      UNION
      SELECT e.seq FROM public.audit_event e
       WHERE e.seq > v_after AND e.seq <= p_to AND e.actor_kind = 'system'
         AND e.action IN ('system:restore', 'system:bind-credentials', 'system:history-lost')
      UNION
      SELECT max(e.seq) FROM public.audit_event e
       WHERE e.seq <= p_to AND e.actor_kind = 'system' AND e.action = 'audit:cut' HAVING count(*) > 0
      UNION
      SELECT p_to
    ), superseded AS (
      DELETE FROM public.audit_kept k
       USING (SELECT a.seq FROM about a
              UNION SELECT e.seq FROM public.audit_event e WHERE e.seq <= v_after AND e.actor_kind = 'system' AND e.action = 'audit:cut') AS old
       WHERE k.seq = old.seq AND NOT EXISTS (SELECT FROM told t WHERE t.seq = old.seq)
      RETURNING k.seq
    ), kept AS (
      INSERT INTO public.audit_kept (seq, previous, hash)
      SELECT e.seq, coalesce(p.hash, decode(repeat('00', 32), 'hex')), e.hash
        FROM told t JOIN public.audit_event e ON e.seq = t.seq LEFT JOIN public.audit_event p ON p.seq = e.seq - 1
       WHERE t.seq > v_after
    )
    SELECT coalesce(array_agg(s.seq), '{}') INTO v_gone FROM superseded s;

    DELETE FROM public.audit_event e
     WHERE (e.seq > v_after AND e.seq <= p_to OR e.seq = ANY (v_gone))
       AND NOT EXISTS (SELECT FROM public.audit_kept k WHERE k.seq = e.seq);
  END $$;
