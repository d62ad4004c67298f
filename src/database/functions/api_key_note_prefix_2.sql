-- Trigger of api_key_secret, as api_key_note_prefix: keeps the searchable text of a key up to date, whatever adds a secret. A key
-- that is inserted with the prefix of its first secret has it already, and is not written a second time.
CREATE OR REPLACE FUNCTION api_key_note_prefix_2() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF EXISTS (SELECT FROM api_key WHERE id = NEW.key_id AND secret_prefixes = NEW.key_prefix)
      AND NOT EXISTS (SELECT FROM api_key_secret WHERE key_id = NEW.key_id AND kid <> NEW.kid) THEN
      RETURN NULL;
    END IF;
    UPDATE api_key SET secret_prefixes = api_key_secret_prefixes(NEW.key_id) WHERE id = NEW.key_id;
    RETURN NULL;
  END $$;
