-- Writes a batch of refused calls within its bounds: `per_minute` of a key, `per_key` of a key, `in_all` of all keys. It is
-- one statement, so one transaction; the row of the total makes batches of other replicas wait, so that no bound is passed
-- by two of them at the same time. What comes first of a minute is kept; of a key and of all the newest are kept. The place
-- of a call among those of its key (`seq`) has no gaps and begins with the milliseconds of the first, so that it never
-- repeats after all rows of a key are gone. A commit is not waited for: a crash may lose what was just refused.
-- Gives how many were written, how many were too many of a minute, and how many older ones had to go for `in_all`.
CREATE OR REPLACE FUNCTION refused_calls_note(
  calls jsonb, per_key integer, per_minute integer, in_all bigint,
  OUT recorded integer, OUT over_minute integer, OUT displaced integer
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
  v_rows bigint;
  v_removed bigint;
  v_keys uuid[];
  v_newest bigint[];
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT t.rows INTO STRICT v_rows FROM refused_call_total t FOR UPDATE;
  WITH batch AS MATERIALIZED (
    SELECT c.*, least(greatest(to_timestamp(c.at_ms / 1000), now() - interval '1 hour'), clock_timestamp()) AS at
      FROM jsonb_to_recordset(calls) AS c (
        key_id uuid, at_ms float8, code text, detail text, via text, ip text, environment text, model text, chatbot text,
        scopes text[], scopes_left_out integer, cost integer, reserve_cents float8, request_id text,
        client_request_id text, asked_by_kind text, asked_by uuid)
  ), numbered AS MATERIALIZED (
    SELECT b.*, row_number() OVER (PARTITION BY b.key_id, date_trunc('minute', b.at) ORDER BY b.at) AS in_minute FROM batch b
  ), known AS MATERIALIZED (
    SELECT k.key_id, max(l.seq) AS seq, array_agg(date_trunc('minute', l.at)) AS minutes
      FROM (SELECT DISTINCT b.key_id FROM batch b) k
      LEFT JOIN LATERAL (SELECT r.seq, r.at FROM refused_call r
                          WHERE r.key_id = k.key_id AND r.at > now() - interval '54 hours'
                          ORDER BY r.seq DESC LIMIT per_minute) l ON true
     GROUP BY k.key_id
  ), admitted AS (
    SELECT n.*, coalesce(k.seq, floor(extract(epoch FROM now()) * 1000)::bigint)
                + row_number() OVER (PARTITION BY n.key_id ORDER BY n.at, n.in_minute) AS seq
      FROM numbered n JOIN known k ON k.key_id = n.key_id
     WHERE n.in_minute + cardinality(array_positions(k.minutes, date_trunc('minute', n.at))) <= per_minute
  ), added AS (
    INSERT INTO refused_call (key_id, seq, at, code, detail, via, ip, environment, model, chatbot, scopes, scopes_left_out,
                              cost, reserve_cents, request_id, client_request_id, asked_by_kind, asked_by)
    SELECT key_id, seq, at, code, detail, via, ip, environment, model, chatbot, coalesce(scopes, '{}'),
           coalesce(scopes_left_out, 0), cost, reserve_cents, request_id, client_request_id, asked_by_kind, asked_by
      FROM admitted ORDER BY key_id, seq
    RETURNING key_id, seq
  ), newest AS (
    SELECT a.key_id, max(a.seq) AS seq, count(*) AS written FROM added a GROUP BY a.key_id
  )
  SELECT coalesce(sum(n.written), 0), coalesce(array_agg(n.key_id), '{}'), coalesce(array_agg(n.seq), '{}')
    INTO recorded, v_keys, v_newest FROM newest n;
  over_minute := jsonb_array_length(calls) - recorded;
  DELETE FROM refused_call r USING unnest(v_keys, v_newest) AS k (key_id, newest)
   WHERE r.key_id = k.key_id AND r.seq <= k.newest - per_key;
  GET DIAGNOSTICS v_removed = ROW_COUNT;
  v_rows := v_rows + recorded - v_removed;
  displaced := 0;
  IF v_rows > in_all THEN
    DELETE FROM refused_call r USING (SELECT o.key_id, o.seq, o.at FROM refused_call o ORDER BY o.at LIMIT v_rows - in_all) old
     WHERE r.key_id = old.key_id AND r.seq = old.seq AND r.at = old.at;
    GET DIAGNOSTICS displaced = ROW_COUNT;
    v_rows := v_rows - displaced;
  END IF;
  UPDATE refused_call_total SET rows = v_rows;
END $$;
