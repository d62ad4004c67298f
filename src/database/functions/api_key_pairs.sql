-- The pairs of neighbouring characters of scripts that write no spaces, where two characters are a word.
CREATE OR REPLACE FUNCTION api_key_pairs(words text)
      RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(DISTINCT substr(words, i, 2)), '{}')
          FROM generate_series(1, length(words) - 1) AS i
         WHERE substr(words, i, 2) ~ '^[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3005-\u3007\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U0003FFFF]{2}$'
      $$;
