-- Notes which blocks of kept entries have to be hashed again: those of the rows that came or went.
CREATE OR REPLACE FUNCTION audit_kept_changed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
  BEGIN
    INSERT INTO public.audit_kept_block (block) SELECT DISTINCT c.seq / 4096 FROM changed c ORDER BY 1
      ON CONFLICT (block) DO UPDATE SET entries = NULL, sha256 = NULL;
    RETURN NULL;
  END $$;
