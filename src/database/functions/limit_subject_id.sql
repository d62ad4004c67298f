-- The member of a limit that a subject is: a UUID of version 8 made of the SHA-256 of its text (RFC 9562, appendix B.2).
-- src/quotas/limits/account-id.ts says the same in TypeScript.
CREATE OR REPLACE FUNCTION limit_subject_id(p_subject text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT encode(
    set_byte(set_byte(substring(h.bytes FROM 1 FOR 16), 6, get_byte(h.bytes, 6) & 15 | 128), 8, get_byte(h.bytes, 8) & 63 | 128),
    'hex')::uuid
  FROM (SELECT sha256(convert_to(p_subject, 'UTF8')) AS bytes) h
$$;
