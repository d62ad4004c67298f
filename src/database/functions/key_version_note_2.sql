-- Trigger of api_key: as key_version_note, and versions have the project of the key (docs/adr/0033).
CREATE OR REPLACE FUNCTION key_version_note_2() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO key_version (key_id, owner_id, name, tags, project_id)
    VALUES (NEW.id, NEW.owner_id, NEW.name, NEW.tags, NEW.project_id);
    RETURN NULL;
  END $$;
