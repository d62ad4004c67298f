-- Trigger of api_key: every key has its row of totals from its creation.
CREATE OR REPLACE FUNCTION key_totals_add() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO key_totals (key_id, is_listed) SELECT id, true FROM added ORDER BY id
    ON CONFLICT (key_id) DO UPDATE SET is_listed = true;
    RETURN NULL;
  END $$;
