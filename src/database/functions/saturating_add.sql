-- `total` and what is added to it, at most 9 000 000 000 000 000 000; a total that is above stays as it is. Neither is
-- negative. The order of additions does not matter: the result is the least of the end and the sum. See `saturated`.
CREATE OR REPLACE FUNCTION saturating_add(total bigint, added bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT total + least(added, greatest(0, 9000000000000000000 - total)) $$;
