-- The one clock of the quotas, in whole milliseconds. Tests replace it.
CREATE OR REPLACE FUNCTION quota_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT date_trunc('milliseconds', clock_timestamp()) $$;
