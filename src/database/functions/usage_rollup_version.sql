-- Trigger of usage_rollup_hour: a rollup that the release before makes belongs to the version its key has now. That
-- release knows no versions, so what it books later in that hour counts for the same one.
CREATE OR REPLACE FUNCTION usage_rollup_version() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    NEW.version_id := (SELECT v.id FROM key_version v WHERE v.key_id = NEW.key_id ORDER BY v.id DESC LIMIT 1);
    RETURN NEW;
  END $$;
