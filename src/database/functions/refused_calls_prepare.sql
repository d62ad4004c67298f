-- Makes the partitions of refused calls from the running six hours to a day ahead, drops those that ended 48 hours ago,
-- and counts what is left. Any number of replicas may call it at the same time: the row of the total is locked first, as
-- refused_calls_note does, so that neither waits for the other in a circle. It runs with the rights of the schema's
-- owner, because the application's role makes no tables. Gives how many partitions were dropped.
CREATE OR REPLACE FUNCTION refused_calls_prepare() RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
  DECLARE
    v_span CONSTANT interval := interval '6 hours';
    v_first timestamptz := date_bin(interval '6 hours', now(), 'epoch'::timestamptz) - interval '6 hours';
    v_starts timestamptz;
    v_name text;
    v_part record;
    v_dropped integer := 0;
  BEGIN
    PERFORM FROM refused_call_total FOR UPDATE;
    FOR step IN 0..5 LOOP
      v_starts := v_first + step * v_span;
      v_name := 'refused_call_' || to_char(v_starts AT TIME ZONE 'UTC', 'YYYY_MM_DD_HH24');
      CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
      EXECUTE format('CREATE TABLE %I (LIKE refused_call INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_name);
      EXECUTE format('ALTER TABLE refused_call ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                     v_name, v_starts, v_starts + v_span);
    END LOOP;
    FOR v_part IN
      SELECT c.oid::regclass AS name, to_timestamp(right(c.relname, 13), 'YYYY_MM_DD_HH24')::timestamp AT TIME ZONE 'UTC' AS starts
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'refused_call'::regclass
    LOOP
      CONTINUE WHEN v_part.starts + v_span > now() - interval '48 hours';
      EXECUTE format('DROP TABLE %s', v_part.name);
      v_dropped := v_dropped + 1;
    END LOOP;
    UPDATE refused_call_total SET rows = (SELECT count(*) FROM refused_call);
    RETURN v_dropped;
  END $$;
