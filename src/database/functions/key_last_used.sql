-- When a key was used last: `noted`, unless it was used more than a minute after that. The column is indexed, so that it
-- moves once a minute at most.
CREATE OR REPLACE FUNCTION key_last_used(noted timestamptz, used timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN noted > used - interval '1 minute' THEN noted ELSE coalesce(used, noted) END $$;
