-- Archives a month as `usage_event_archive_2` does, for the application, as far as the owner of the schema allows: only
-- where `usage_archiving` has a row, and only months before those that it keeps. The application can read that row and
-- not write it.
CREATE OR REPLACE FUNCTION usage_event_archive_3(
  p_month date, p_file text, p_sha256 bytea, p_events bigint, p_requests numeric, p_input_tokens numeric,
  p_output_tokens numeric, p_cost_micro_cents numeric
) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  DECLARE
    v_keep integer;
  BEGIN
    SELECT a.keep_months INTO v_keep FROM public.usage_archiving a;
    IF v_keep IS NULL THEN
      RAISE EXCEPTION 'The owner of the schema has not allowed that usage events are archived.' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF p_month >= date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => v_keep) THEN
      RAISE EXCEPTION 'Events of % are not archived before they are % whole months old.', to_char(p_month, 'YYYY-MM'), v_keep USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM public.usage_event_archive_2(p_month, p_file, p_sha256, p_events, p_requests, p_input_tokens, p_output_tokens, p_cost_micro_cents);
  END $$;
