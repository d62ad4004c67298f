-- The cells of a rate window whose row was written while the clock was ahead: every bucket after p_latest is counted in
-- p_latest, which is the bucket of the latest deadline a permit lease can have now. No permit is used after that, so
-- each one counts for one whole window from its use at least.
CREATE OR REPLACE FUNCTION quota_pull_back(p_cells bigint[], p_latest bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(array_agg(c.bucket << 32 | c.permits ORDER BY c.bucket), '{}')
  FROM (
    SELECT least(u.cell >> 32, p_latest) AS bucket, sum(u.cell & 4294967295)::bigint AS permits
    FROM unnest(p_cells) AS u(cell) GROUP BY 1
  ) c
$$;
