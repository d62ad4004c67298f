-- Trigger of api_key: what a deleted key has used stays, and what was never reported goes with its key.
CREATE OR REPLACE FUNCTION key_totals_keep() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM FROM key_totals WHERE key_id IN (SELECT id FROM removed) ORDER BY key_id FOR UPDATE;
    DELETE FROM key_totals WHERE key_id IN (SELECT id FROM removed) AND requests = 0;
    UPDATE key_totals SET is_listed = false WHERE key_id IN (SELECT id FROM removed);
    RETURN NULL;
  END $$;
