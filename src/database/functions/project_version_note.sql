-- Trigger of project: the name that reports have for a project, as of now (docs/adr/0033).
CREATE OR REPLACE FUNCTION project_version_note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO project_version (project_id, name) VALUES (NEW.id, NEW.name);
    RETURN NULL;
  END $$;
