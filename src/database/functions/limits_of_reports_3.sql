-- The accounts of limits that reports without a reservation charge: what binds the key and the model of the report now,
-- read from the rows of keys and limits. `e_counts` says which reports count. The period is that of `p_at`, and `window` of a limit by minute. Requests and calls in
-- flight are counted when a call is admitted: no report charges them. A report that names no subject charges no limit that has
-- an account for each of them.
-- Each report of a batch passes here, so a function is called where a comparison does not tell: a call of one costs as much as
-- five rows. A period is computed once for each calendar.
CREATE OR REPLACE FUNCTION limits_of_reports_3(e_key uuid[], e_model text[], e_subject text[], e_counts boolean[], p_at timestamptz)
RETURNS TABLE (event integer, account_id uuid, limit_id uuid, member_id uuid, period text, subject text) LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY
    WITH bound AS MATERIALIZED (
      SELECT e.n, l.id, l.per, l.time_zone, CASE l.each WHEN 'subject' THEN e.subject END AS subject,
        CASE l.each WHEN 'key' THEN k.id WHEN 'owner' THEN k.owner_id WHEN 'subject' THEN limit_subject_id(e.subject) END AS member
      FROM unnest(e_key, e_model, e_subject, e_counts) WITH ORDINALITY AS e(key, model, subject, counts, n)
      JOIN api_key k ON k.id = e.key
      CROSS JOIN LATERAL (
        SELECT * FROM quota_limit WHERE target_kind = 'key' AND target_id = k.id
        UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'owner' AND target_id = k.owner_id
        UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'project' AND target_id = k.project_id
        UNION ALL SELECT * FROM quota_limit WHERE target_kind = 'installation'
      ) l
      WHERE e.counts AND l.unit IN ('cents', 'tokens') AND l.ended_at IS NULL
        AND (l.models = '{}' OR limit_matches(l.models, e.model)) AND (l.each IS DISTINCT FROM 'subject' OR e.subject IS NOT NULL)
    ), calendar AS MATERIALIZED (
      SELECT d.per, d.time_zone, p.name
      FROM (SELECT DISTINCT b.per, b.time_zone FROM bound b WHERE b.per <> 'minute') d CROSS JOIN LATERAL limit_period_at(p_at, d.per, d.time_zone) p
    )
    SELECT b.n::integer, a.id, b.id, b.member, coalesce(c.name, 'window'), b.subject
    FROM bound b
    LEFT JOIN calendar c ON c.per = b.per AND c.time_zone = b.time_zone
    CROSS JOIN LATERAL (SELECT CASE WHEN b.member IS NULL THEN b.id ELSE limit_account_id(b.id, b.member) END AS id) a
    ORDER BY 1, 2;
END $$;
