-- The terms of a key in the index of lists, and those that a search asks for; there, NULL is for what is not asked for.
CREATE OR REPLACE FUNCTION api_key_terms(ordinal bigint, owners uuid[], tags text[], scopes text[], is_revoked boolean, is_active boolean, words text)
      RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(hashtextextended(term, ordinal >> 17)), '{}')
          FROM (SELECT 'owner ' || unnest(owners)
                UNION ALL SELECT 'tag ' || unnest(tags)
                UNION ALL SELECT 'scope ' || unnest(scopes)
                UNION ALL SELECT 'revoked' WHERE is_revoked
                UNION ALL SELECT 'inactive' WHERE NOT is_active
                UNION ALL SELECT substr(words, i, 3) FROM generate_series(1, length(words) - 2) AS i) AS terms (term)
      $$;
