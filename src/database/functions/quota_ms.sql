-- An instant as milliseconds since 1970.
CREATE OR REPLACE FUNCTION quota_ms(instant timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE
AS $$ SELECT (extract(epoch FROM instant) * 1000)::bigint $$;
