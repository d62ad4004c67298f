-- What is booked and not yet in totals and rollups, one row an event (docs/adr/0053). A statement that reads sums adds
-- these: both are of one snapshot, so that an event is in one of them.
CREATE OR REPLACE FUNCTION usage_pending_rows() RETURNS TABLE (
  key_id uuid, hour timestamptz, model text, version_id bigint, requests bigint, input_tokens bigint, output_tokens bigint,
  cost_micro_cents bigint, booked_at timestamptz
) LANGUAGE sql STABLE AS $$
  SELECT e.key_id, date_trunc('hour', p.booked_at, 'UTC'), coalesce(e.model, ''), e.version_id, e.requests::bigint, e.input_tokens,
         e.output_tokens, e.cost_micro_cents, p.booked_at
    FROM usage_pending p,
         unnest(p.keys, p.models, p.versions, p.requests, p.input_tokens, p.output_tokens, p.cost_micro_cents)
           AS e(key_id, model, version_id, requests, input_tokens, output_tokens, cost_micro_cents)
$$;
