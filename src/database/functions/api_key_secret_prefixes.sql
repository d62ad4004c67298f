-- The prefixes of a key's newest ten secrets, one a line: enough to find the key of an old secret in a log.
CREATE OR REPLACE FUNCTION api_key_secret_prefixes(wanted uuid) RETURNS text LANGUAGE sql STABLE AS $$
        SELECT coalesce(string_agg(key_prefix, E'\n' ORDER BY created_at DESC, kid), '')
          FROM (SELECT key_prefix, created_at, kid FROM api_key_secret WHERE key_id = wanted
                 ORDER BY created_at DESC, kid LIMIT 10) AS newest
      $$;
