-- Trigger of api_key: a key has its total account from its creation.
CREATE OR REPLACE FUNCTION quota_open_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents)
  SELECT NEW.id, 'total', l.active, l.active
  FROM (SELECT CASE WHEN NEW.budget_type = 'total' THEN NEW.budget_limit_micro_cents END AS active) l
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
