-- Whether a limit of these models binds a call of this one. An empty list binds all calls, and a call that names no model
-- is bound by every list. `*` stands for any characters. src/common/model-pattern.ts says the same in TypeScript.
CREATE OR REPLACE FUNCTION limit_matches(p_models text[], p_model text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT p_models = '{}' OR p_model IS NULL OR EXISTS (
    SELECT FROM unnest(p_models) AS m(pattern)
    WHERE p_model LIKE replace(replace(replace(replace(m.pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
$$;
