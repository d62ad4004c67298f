-- Orders what accounts have used by steps, 16 of them from a number to its double: an account with more is never at a lower
-- step. An index on steps is written 16 times while an account doubles, and not with every charge. A step is the first two
-- bytes of the number as a double: exponent and four bits, which have the order of the numbers.
CREATE OR REPLACE FUNCTION limit_used_step(p_used bigint) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (get_byte(float8send(p_used::float8), 0) * 256 + get_byte(float8send(p_used::float8), 1))::smallint
$$;
