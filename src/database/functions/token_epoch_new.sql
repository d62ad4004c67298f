-- A name for an epoch that no other has: 48 random bits.
CREATE OR REPLACE FUNCTION token_epoch_new() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT ('x' || left(replace(gen_random_uuid()::text, '-', ''), 12))::bit(48)::bigint
$$;
