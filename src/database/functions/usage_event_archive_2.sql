-- Drops the partition of a month whose events are in a file, and keeps their sums; both or neither. It refuses unless
-- the file has as many events, and the same sums, as the partition has now. What was charged to limits is kept by account
-- and period where the account goes on; one whose period was over long ago is compared with nothing. It runs with the rights of the schema's owner,
-- because the application's role drops no tables. The sums are made while nothing waits but writers to that month, and
-- there are none. Detaching needs the whole table for a moment: it is tried again and again, so that reports of usage
-- never wait for more than a quarter of a second behind a long query.
CREATE OR REPLACE FUNCTION usage_event_archive_2(
  p_month date, p_file text, p_sha256 bytea, p_events bigint, p_requests numeric, p_input_tokens numeric,
  p_output_tokens numeric, p_cost_micro_cents numeric
) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '250ms' AS $$
  DECLARE
    v_name text := 'usage_event_' || to_char(p_month, 'YYYY_MM');
    v_found record;
  BEGIN
    IF (p_month + interval '1 month') AT TIME ZONE 'UTC' > now() - interval '35 days' THEN
      RAISE EXCEPTION 'Events of % are not archived before the month has been over for 35 days.', to_char(p_month, 'YYYY-MM');
    END IF;
    PERFORM pg_advisory_xact_lock(4242004);
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', v_name);
    INSERT INTO usage_archive (month, file, sha256, events) VALUES (p_month, p_file, p_sha256, p_events);
    EXECUTE format(
      'INSERT INTO usage_archived_sum
         SELECT $1, key_id, month, count(*), sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_micro_cents)
           FROM %I GROUP BY key_id, month', v_name) USING p_month;
    EXECUTE format(
      'INSERT INTO usage_archived_account (archive_month, account_id, period, cost_micro_cents, charged_tokens)
         SELECT $1, c.account, c.period, sum(v.cost_micro_cents), sum(coalesce(v.charged_tokens, 0))
           FROM %I v, unnest(v.charged_accounts, v.charged_periods) AS c(account, period)
          WHERE v.charged_accounts IS NOT NULL AND (c.period = ''total'' OR EXISTS (
                SELECT FROM budget_account a
                 WHERE a.key_id = c.account AND a.period = c.period AND a.ends_at > now() - interval ''35 days''))
          GROUP BY c.account, c.period', v_name) USING p_month;
    SELECT coalesce(sum(events), 0)::bigint AS events, coalesce(sum(requests), 0) AS requests,
           coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
           coalesce(sum(cost_micro_cents), 0) AS cost_micro_cents
      INTO v_found FROM usage_archived_sum WHERE archive_month = p_month;
    IF (v_found.events, v_found.requests, v_found.input_tokens, v_found.output_tokens, v_found.cost_micro_cents)
       IS DISTINCT FROM (p_events, p_requests, p_input_tokens, p_output_tokens, p_cost_micro_cents) THEN
      RAISE EXCEPTION 'The file of % does not have what its partition has: % events.', to_char(p_month, 'YYYY-MM'), v_found.events;
    END IF;
    FOR attempt IN 1..60 LOOP
      BEGIN
        EXECUTE format('ALTER TABLE usage_event DETACH PARTITION %I', v_name);
        EXECUTE format('DROP TABLE %I', v_name);
        RETURN;
      EXCEPTION WHEN lock_not_available THEN
        PERFORM pg_sleep(0.5);
      END;
    END LOOP;
    RAISE EXCEPTION 'Long queries read usage events: the partition of % could not be detached.', to_char(p_month, 'YYYY-MM');
  END $$;
