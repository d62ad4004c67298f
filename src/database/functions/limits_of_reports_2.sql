-- The accounts of limits that reports without a reservation charge: what binds the key and the model of the report now,
-- read from the rows of keys and limits. `e_counts` says which reports count. The period is that of `p_at`. Requests and calls in
-- flight are counted when a call is admitted: no report charges them.
CREATE OR REPLACE FUNCTION limits_of_reports_2(e_key uuid[], e_model text[], e_counts boolean[], p_at timestamptz)
RETURNS TABLE (event integer, account_id uuid, limit_id uuid, member_id uuid, period text) LANGUAGE sql STABLE AS $$
  SELECT e.n::integer, limit_account_id(l.id, m.id), l.id, m.id, p.name
  FROM unnest(e_key, e_model, e_counts) WITH ORDINALITY AS e(key, model, counts, n)
  JOIN api_key k ON k.id = e.key
  CROSS JOIN LATERAL (
    SELECT * FROM quota_limit WHERE target_kind = 'key' AND target_id = k.id
    UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'owner' AND target_id = k.owner_id
    UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'project' AND target_id = k.project_id
    UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'installation'
  ) l
  CROSS JOIN LATERAL (SELECT CASE l.each WHEN 'key' THEN k.id WHEN 'owner' THEN k.owner_id END AS id) m
  CROSS JOIN LATERAL limit_period_at(p_at, l.per, l.time_zone) p
  WHERE e.counts AND l.unit IN ('cents', 'tokens') AND l.ended_at IS NULL AND limit_matches(l.models, e.model)
  ORDER BY 1, 2
$$;
