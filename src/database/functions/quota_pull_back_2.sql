-- The cells of a rate window whose row was written while the clock was ahead. Every bucket up to p_written, in which leases
-- of 15 s could end when the row was written, counts in p_near at the latest, in which such a lease can end now. Every later
-- bucket, of standing leases, counts in p_standing at the latest. No permit is used after that, so each one counts for one
-- whole window from its use at least. `quota_pull_back`, of the build before, knows no standing leases.
CREATE OR REPLACE FUNCTION quota_pull_back_2(p_cells bigint[], p_written bigint, p_near bigint, p_standing bigint)
RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(array_agg(c.bucket << 32 | c.permits ORDER BY c.bucket), '{}')
  FROM (
    SELECT least(u.cell >> 32, CASE WHEN u.cell >> 32 <= p_written THEN p_near ELSE p_standing END) AS bucket,
      sum(u.cell & 4294967295)::bigint AS permits
    FROM unnest(p_cells) AS u(cell) GROUP BY 1
  ) c
$$;
