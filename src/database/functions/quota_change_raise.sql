-- Trigger of api_key, behind the one of quota_change_limit: the raise of a key reaches its limited accounts in the same
-- transaction. The floor lets the account hold as much as limit and raise together. A raise that is over is none.
CREATE OR REPLACE FUNCTION quota_change_raise() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  v_until timestamptz := (NEW.budget_raise->>'until')::timestamptz;
  v_raise bigint := quota_raise(NEW.budget_raise);
BEGIN
  PERFORM FROM budget_account a WHERE a.key_id = NEW.id AND (a.period = 'total' OR a.period >= quota_month(quota_clock()))
    ORDER BY a.period FOR UPDATE;
  IF v_until <= quota_clock() THEN v_until := NULL; v_raise := NULL; END IF;
  UPDATE budget_account a
  SET raise_micro_cents = CASE WHEN a.limit_micro_cents IS NOT NULL THEN v_raise END,
    raise_until = CASE WHEN a.limit_micro_cents IS NOT NULL THEN v_until END,
    floor_micro_cents = greatest(a.limit_micro_cents + coalesce(v_raise, 0),
      CASE WHEN a.limit_micro_cents IS NOT NULL THEN a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents END)
  WHERE a.key_id = NEW.id AND (a.period = 'total' OR a.period >= quota_month(quota_clock()));
  RETURN NULL;
END $$;
