-- Trigger of api_key_secret: keeps the searchable text of a key up to date, whatever adds a secret.
CREATE OR REPLACE FUNCTION api_key_note_prefix() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE api_key SET secret_prefixes = api_key_secret_prefixes(NEW.key_id) WHERE id = NEW.key_id;
        RETURN NULL;
      END $$;
