-- Adds up to `p_batches` of the oldest pending batches to totals and rollups, in one statement that takes them away, and
-- gives how many they were (docs/adr/0053). Any number of callers may call it at the same time: what one adds is left out
-- by the others. Sums saturate (docs/adr/0031). A rollup belongs to the version that came into it first; what other
-- versions used in that hour is also counted in usage_rollup_moved (docs/adr/0033). Order of locks: totals, rollups, moved
-- rollups, and inside each by key. Lists are joined by
-- hash: PostgreSQL takes every list for ten rows long.
CREATE OR REPLACE FUNCTION usage_roll_up(p_batches integer) RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_nestloop = off SET enable_mergejoin = off AS $$
DECLARE
  v_batches integer;
  v_key uuid[]; v_hour timestamptz[]; v_model text[]; v_version bigint[]; v_at timestamptz[];
  v_requests bigint[]; v_input bigint[]; v_output bigint[]; v_cost bigint[];
BEGIN
  WITH taken AS (
    DELETE FROM usage_pending p
      WHERE p.id = ANY (ARRAY(SELECT o.id FROM usage_pending o ORDER BY o.id LIMIT p_batches FOR UPDATE SKIP LOCKED))
    RETURNING p.*
  ), used AS (
    SELECT e.key, date_trunc('hour', t.booked_at, 'UTC') AS hour, coalesce(e.model, '') AS model, e.version, max(t.booked_at) AS at,
           saturated(sum(e.requests)) AS requests, saturated(sum(e.input)) AS input, saturated(sum(e.output)) AS output,
           saturated(sum(e.cost)) AS cost
      FROM taken t, unnest(t.keys, t.models, t.versions, t.requests, t.input_tokens, t.output_tokens, t.cost_micro_cents)
             AS e(key, model, version, requests, input, output, cost)
      GROUP BY 1, 2, 3, 4
  )
  SELECT (SELECT count(*) FROM taken), array_agg(u.key), array_agg(u.hour), array_agg(u.model), array_agg(u.version), array_agg(u.at),
         array_agg(u.requests), array_agg(u.input), array_agg(u.output), array_agg(u.cost)
    INTO v_batches, v_key, v_hour, v_model, v_version, v_at, v_requests, v_input, v_output, v_cost FROM used u;
  IF v_batches = 0 THEN
    RETURN 0;
  END IF;
  INSERT INTO key_totals AS t (key_id, requests, input_tokens, output_tokens, cost_micro_cents, last_used_at)
    SELECT e.key, saturated(sum(e.requests)), saturated(sum(e.input)), saturated(sum(e.output)), saturated(sum(e.cost)), max(e.at)
    FROM unnest(v_key, v_requests, v_input, v_output, v_cost, v_at) AS e(key, requests, input, output, cost, at)
    GROUP BY e.key ORDER BY e.key
    ON CONFLICT (key_id) DO UPDATE
      SET requests = saturating_add(t.requests, EXCLUDED.requests),
          input_tokens = saturating_add(t.input_tokens, EXCLUDED.input_tokens),
          output_tokens = saturating_add(t.output_tokens, EXCLUDED.output_tokens),
          cost_micro_cents = saturating_add(t.cost_micro_cents, EXCLUDED.cost_micro_cents),
          last_used_at = key_last_used(t.last_used_at, EXCLUDED.last_used_at);
  WITH rolled AS (
    INSERT INTO usage_rollup_hour AS r (key_id, hour, model, version_id, requests, input_tokens, output_tokens, cost_micro_cents)
    SELECT e.key, e.hour, e.model, min(e.version), saturated(sum(e.requests)), saturated(sum(e.input)), saturated(sum(e.output)),
           saturated(sum(e.cost))
    FROM unnest(v_key, v_hour, v_model, v_version, v_requests, v_input, v_output, v_cost)
         AS e(key, hour, model, version, requests, input, output, cost)
    GROUP BY e.key, e.hour, e.model ORDER BY e.key, e.hour, e.model
    ON CONFLICT (key_id, hour, model) DO UPDATE
      SET requests = saturating_add(r.requests, EXCLUDED.requests),
          input_tokens = saturating_add(r.input_tokens, EXCLUDED.input_tokens),
          output_tokens = saturating_add(r.output_tokens, EXCLUDED.output_tokens),
          cost_micro_cents = saturating_add(r.cost_micro_cents, EXCLUDED.cost_micro_cents)
    RETURNING r.key_id, r.hour, r.model, r.version_id
  )
  INSERT INTO usage_rollup_moved AS m (key_id, hour, model, version_id, from_version_id, requests, input_tokens, output_tokens, cost_micro_cents)
    SELECT r.key_id, r.hour, r.model, e.version, r.version_id, e.requests, e.input, e.output, e.cost
    FROM rolled r
    JOIN unnest(v_key, v_hour, v_model, v_version, v_requests, v_input, v_output, v_cost)
         AS e(key, hour, model, version, requests, input, output, cost) ON e.key = r.key_id AND e.hour = r.hour AND e.model = r.model
    WHERE e.version IS NOT NULL AND e.version IS DISTINCT FROM r.version_id
    ORDER BY r.key_id, r.hour, r.model, e.version
    ON CONFLICT (key_id, hour, model, version_id) DO UPDATE
      SET requests = saturating_add(m.requests, EXCLUDED.requests),
          input_tokens = saturating_add(m.input_tokens, EXCLUDED.input_tokens),
          output_tokens = saturating_add(m.output_tokens, EXCLUDED.output_tokens),
          cost_micro_cents = saturating_add(m.cost_micro_cents, EXCLUDED.cost_micro_cents);
  RETURN v_batches;
END $$;
