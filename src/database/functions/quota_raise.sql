-- The micro-cents of a raise of a key, as `api_key.budget_raise` has it.
CREATE OR REPLACE FUNCTION quota_raise(raise jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE
AS $$ SELECT round((raise->>'cents')::numeric * 1000000)::bigint $$;
