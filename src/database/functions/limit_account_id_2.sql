-- The account of a limit, or of one member of it: then a UUID of version 8 made of the SHA-256 of both ids
-- (RFC 9562, appendix B.2). src/quotas/limits/account-id.ts says the same in TypeScript. It is one expression, so that
-- PostgreSQL makes it a part of the statement that asks: a list asks for very many accounts.
CREATE OR REPLACE FUNCTION limit_account_id_2(p_limit uuid, p_member uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN p_member IS NULL THEN p_limit ELSE encode(set_byte(set_byte(
      substring(sha256(uuid_send(p_limit) || uuid_send(p_member)) FROM 1 FOR 16),
      6, get_byte(sha256(uuid_send(p_limit) || uuid_send(p_member)), 6) & 15 | 128),
      8, get_byte(sha256(uuid_send(p_limit) || uuid_send(p_member)), 8) & 63 | 128), 'hex')::uuid END
$$;
