/** Changes of AUDIT_KEY as a JSON list, in order of `seq`, each in the form in which it was signed. */
export const KEY_CHANGES = `
  SELECT coalesce(json_agg(json_build_object(
           'type', 'latchkey-audit-key-change/1', 'seq', c.seq::text, 'hash', encode(c.hash, 'hex'),
           'at', to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
           'from', c.from_version, 'to', c.to_version, 'signatures', c.signatures) ORDER BY c.seq), '[]')
    FROM audit_key_change c`;
