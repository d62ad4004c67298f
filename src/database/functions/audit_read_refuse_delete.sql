-- Trigger of the reads of the audit trail: they are removed from the oldest on, and only as far as the trail of changes
-- says that they were cut. The trail is named with its schema: a temporary table of its name must not stand in for it.
CREATE OR REPLACE FUNCTION audit_read_refuse_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
  DECLARE
    cut bigint;
  BEGIN
    SELECT max((details->>'upToSeq')::bigint) INTO cut FROM public.audit_event WHERE action = 'audit:cut' AND actor_kind = 'system';
    IF EXISTS (SELECT 1 FROM removed WHERE seq > coalesce(cut, 0)) THEN
      RAISE EXCEPTION '% is append-only beyond its last cut', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
  END $$;
