-- Makes the partitions of a month and those after it. Any number of replicas may call it at the same time. It runs
-- with the rights of the schema's owner, because the application's role makes no tables. Events that came before
-- their partition are in the default one, and are moved. ATTACH, unlike CREATE ... PARTITION OF, does not stop the
-- writers.
CREATE OR REPLACE FUNCTION usage_event_prepare(ahead integer, first_month date DEFAULT NULL) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
  DECLARE
    starts date;
    ends date;
    partition_name text;
    made integer := 0;
  BEGIN
    PERFORM pg_advisory_xact_lock(4242004);
    FOR step IN 0..least(ahead, 24) LOOP
      starts := (date_trunc('month', coalesce(first_month::timestamp, now() AT TIME ZONE 'UTC')) + make_interval(months => step))::date;
      ends := (starts + interval '1 month')::date;
      partition_name := 'usage_event_' || to_char(starts, 'YYYY_MM');
      CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
      EXECUTE format('CREATE TABLE %I (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition_name);
      LOCK TABLE usage_event_default IN ACCESS EXCLUSIVE MODE;
      EXECUTE format(
        'WITH moved AS (DELETE FROM usage_event_default WHERE received_at >= %1$L AND received_at < %2$L RETURNING *)
         INSERT INTO %3$I SELECT * FROM moved', starts || ' 00:00+00', ends || ' 00:00+00', partition_name);
      EXECUTE format('ALTER TABLE usage_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                     partition_name, starts || ' 00:00+00', ends || ' 00:00+00');
      made := made + 1;
    END LOOP;
    RETURN made;
  END $$;
