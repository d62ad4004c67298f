-- Trigger of the trail of changes: entries are removed only as far as a sealed segment has them, and none that still
-- tells the state of a thing. The tables are named with their schema: temporary ones must not stand in for them.
CREATE OR REPLACE FUNCTION audit_event_refuse_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
  DECLARE
    cut bigint;
  BEGIN
    SELECT max(to_seq) INTO cut FROM public.audit_segment;
    IF EXISTS (SELECT FROM removed r WHERE r.seq > coalesce(cut, 0))
       OR EXISTS (SELECT FROM removed r JOIN public.audit_kept k ON k.seq = r.seq) THEN
      RAISE EXCEPTION '% is append-only beyond its last sealed segment', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
  END $$;
