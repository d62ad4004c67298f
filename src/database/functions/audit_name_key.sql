-- Lets the head name the version of AUDIT_KEY that signs: the first time, or where the change to it was just written
-- down. It has the rights of the owner, because the application has none to do otherwise.
CREATE OR REPLACE FUNCTION audit_name_key(p_version text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
      BEGIN
        UPDATE public.change_head h SET audit_key_version = p_version, signed_seq = h.seq
         WHERE h.audit_key_version IS NULL
            OR EXISTS (SELECT FROM public.audit_key_change c WHERE c.seq = h.seq AND c.to_version = p_version);
      END $$;
