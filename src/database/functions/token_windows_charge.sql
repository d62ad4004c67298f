-- What the entries of a booking do to windows of tokens, in its transaction (docs/adr/0056). `w_` are the windows that the reservations of
-- entries name (w_event, from 1), with epoch and bucket where tokens are held in them; and those that bind reports without a
-- reservation, with limit and member. The first end of a reservation takes what was not used out of its bucket, and what
-- was used beyond it counts now. After a release (e_has_ended) all that was used counts now. An entry that was neither settled nor
-- released changes nothing.
-- A window that counts something more is made where it is gone, if its limit is there. Callers have locked everything else before.
CREATE OR REPLACE FUNCTION token_windows_charge(
  e_key uuid[], e_outcome text[], e_has_ended boolean[], e_reserved_tokens bigint[], e_tokens bigint[],
  w_event integer[], w_account uuid[], w_epoch bigint[], w_bucket bigint[], w_limit uuid[], w_member uuid[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_account uuid[]; v_epoch bigint[]; v_bucket bigint[]; v_out bigint[]; v_in bigint[]; v_limit uuid[]; v_member uuid[];
BEGIN
  IF coalesce(cardinality(w_event), 0) = 0 THEN RETURN; END IF;
  SELECT array_agg(c.account), array_agg(c.epoch), array_agg(c.bucket), array_agg(greatest(0, c.held - c.used)),
      array_agg(greatest(0, c.used - c.held)), array_agg(coalesce(c.lim, n.limit_id)), array_agg(coalesce(c.member, n.member_id))
    INTO v_account, v_epoch, v_bucket, v_out, v_in, v_limit, v_member
    FROM (
      SELECT w.account, w.epoch, w.bucket, w.lim, w.member, e_key[w.event] AS key,
        CASE WHEN w.epoch IS NULL OR e_has_ended[w.event] THEN 0 ELSE coalesce(e_reserved_tokens[w.event], 0) END AS held,
        CASE e_outcome[w.event] WHEN 'settled' THEN coalesce(e_tokens[w.event], 0) ELSE 0 END AS used
      FROM unnest(w_event, w_account, w_epoch, w_bucket, w_limit, w_member) AS w(event, account, epoch, bucket, lim, member)
      WHERE e_outcome[w.event] IN ('settled', 'released')
    ) c
    LEFT JOIN LATERAL limit_account_named_2(c.account, c.key) n ON c.lim IS NULL AND c.used > c.held
    WHERE c.used < c.held OR c.used > c.held AND coalesce(c.lim, n.limit_id) IS NOT NULL;
  IF v_account IS NOT NULL THEN PERFORM token_windows_end(v_account, v_epoch, v_bucket, v_out, v_in, v_limit, v_member); END IF;
END $$;
