-- The snapshot of the state at the cut: how many entries of sealed segments stay, and a SHA-256 over a line `block sha256`
-- for each block of `seq`, over lines `seq previous-hash hash`; hexadecimal. Only blocks that have changed since the last
-- time are hashed. It has the rights of the schema's owner, because the application cannot write what is hashed.
CREATE OR REPLACE FUNCTION audit_kept_digest(OUT entries integer, OUT sha256 text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  BEGIN
    -- As a segment is sealed: one at a time.
    LOCK TABLE public.audit_segment IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM public.audit_kept_block b
     WHERE b.sha256 IS NULL
       AND NOT EXISTS (SELECT FROM public.audit_kept k WHERE k.seq >= b.block * 4096 AND k.seq < (b.block + 1) * 4096);
    UPDATE public.audit_kept_block b
       SET (entries, sha256) = (
             SELECT count(*), sha256(string_agg(convert_to(k.seq || ' ' || encode(k.previous, 'hex') || ' ' || encode(k.hash, 'hex') || E'\n', 'UTF8'), '' ORDER BY k.seq))
               FROM public.audit_kept k WHERE k.seq >= b.block * 4096 AND k.seq < (b.block + 1) * 4096)
     WHERE b.sha256 IS NULL;
    SELECT coalesce(sum(b.entries), 0),
           encode(sha256(coalesce(string_agg(convert_to(b.block || ' ' || encode(b.sha256, 'hex') || E'\n', 'UTF8'), '' ORDER BY b.block), '')), 'hex')
      INTO audit_kept_digest.entries, audit_kept_digest.sha256 FROM public.audit_kept_block b;
  END $$;
