-- Trigger of users: the name that reports have for an owner, as of now (docs/adr/0033).
CREATE OR REPLACE FUNCTION user_version_note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO user_version (user_id, name) VALUES (NEW.id, NEW.name);
    RETURN NULL;
  END $$;
