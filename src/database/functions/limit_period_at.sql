-- The period of an instant by the calendar of a time zone: [starts_at, ends_at), named by the local date it starts with.
-- A date starts at the instant that its midnight means. That of the local date may lie ahead: where the local date
-- changes twice in a night (Havana, the Azores), the period before lasts until the second change. Local dates are
-- therefore never compared.
CREATE OR REPLACE FUNCTION limit_period_at(
  p_at timestamptz, p_per text, p_zone text, OUT name text, OUT starts_at timestamptz, OUT ends_at timestamptz
) LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_first timestamp;
BEGIN
  IF p_per = 'total' THEN
    name := 'total'; starts_at := '-infinity'; ends_at := 'infinity';
    RETURN;
  END IF;
  v_first := date_trunc(p_per, p_at AT TIME ZONE p_zone);
  IF v_first AT TIME ZONE p_zone > p_at THEN
    v_first := date_trunc(p_per, v_first - interval '1 day');
  END IF;
  name := to_char(v_first, 'YYYY-MM-DD');
  starts_at := v_first AT TIME ZONE p_zone;
  ends_at := (v_first + ('1 ' || p_per)::interval) AT TIME ZONE p_zone;
END $$;
