-- Removes the entries of a sealed segment as `audit_seal` does, for the application, as far as the owner of the schema
-- allows: only where `audit_sealing` has a row, and only entries from before the months that it keeps. The application
-- can read that row and not write it.
CREATE OR REPLACE FUNCTION audit_seal_2(p_to bigint, p_hash bytea, p_summary json) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  DECLARE
    v_keep integer;
    v_after bigint;
  BEGIN
    SELECT s.keep_months INTO v_keep FROM public.audit_sealing s;
    IF v_keep IS NULL THEN
      RAISE EXCEPTION 'The owner of the schema has not allowed that entries of the audit trail are removed.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT coalesce(max(s.to_seq), 0) INTO v_after FROM public.audit_segment s;
    IF EXISTS (SELECT FROM public.audit_event e
                WHERE e.seq > v_after AND e.seq <= p_to
                  AND e.at >= (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => v_keep)) AT TIME ZONE 'UTC') THEN
      RAISE EXCEPTION 'Entries of the audit trail are not removed before they are % whole months old.', v_keep USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM public.audit_seal(p_to, p_hash, p_summary);
  END $$;
