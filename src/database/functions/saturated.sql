-- A sum as it is stored: at most 9 000 000 000 000 000 000. What is above stays there, so that no sum of a caller's
-- amounts ends in an exception (docs/adr/0031). The distance to 2^63 is room for sums of a few such numbers.
CREATE OR REPLACE FUNCTION saturated(total numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT least(total, 9000000000000000000)::bigint $$;
