-- Trigger of api_key: what reports say of a key, as of now. Usage is booked with the newest version (docs/adr/0033).
CREATE OR REPLACE FUNCTION key_version_note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO key_version (key_id, owner_id, name, tags) VALUES (NEW.id, NEW.owner_id, NEW.name, NEW.tags);
    RETURN NULL;
  END $$;
