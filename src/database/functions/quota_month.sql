-- The period of a monthly account: the first day of the month, in UTC.
CREATE OR REPLACE FUNCTION quota_month(instant timestamptz) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM"-01"') $$;
