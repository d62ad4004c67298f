-- Moves the head of the audit trail to entries that were added in the same transaction: forward, without a gap, and to
-- the hash of the last of them. It has the rights of the owner, because the application has none to do otherwise.
-- `p_channel` is notified on commit; null wakes nobody.
CREATE OR REPLACE FUNCTION audit_move_head(p_seq bigint, p_hash bytea, p_channel text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
      DECLARE
        last_seq bigint;
        added bigint;
        is_last boolean;
      BEGIN
        SELECT h.seq INTO STRICT last_seq FROM public.change_head h FOR UPDATE;
        SELECT count(*), coalesce(bool_or(e.seq = p_seq AND e.hash = p_hash), false) INTO added, is_last
          FROM public.audit_event e WHERE e.seq > last_seq AND e.seq <= p_seq;
        IF NOT is_last OR added <> p_seq - last_seq THEN
          RAISE EXCEPTION 'the head of the trail moves to entries that were added behind it, and nowhere else'
            USING ERRCODE = 'insufficient_privilege';
        END IF;
        UPDATE public.change_head SET seq = p_seq, signed_seq = p_seq, audit_hash = p_hash;
        IF p_channel IS NOT NULL THEN PERFORM pg_notify(p_channel, p_seq::text); END IF;
      END $$;
