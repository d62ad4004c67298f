-- Makes the month rows that are missing. The key row is read FOR SHARE: a PATCH beside it, which writes the key row and
-- then the accounts, is either seen here or finds the row made here.
CREATE OR REPLACE FUNCTION quota_open_months(p_key uuid[], p_period text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM unnest(p_key, p_period) AS w(key_id, period)
    WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = w.key_id AND a.period = w.period);
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents)
  SELECT k.id, w.period,
    CASE WHEN k.budget_type = 'monthly' THEN k.budget_limit_micro_cents END,
    CASE WHEN k.budget_type = 'monthly' THEN k.budget_limit_micro_cents END
  FROM (SELECT DISTINCT u.key_id, u.period FROM unnest(p_key, p_period) AS u(key_id, period)) w
  JOIN api_key k ON k.id = w.key_id
  WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = w.key_id AND a.period = w.period)
  ORDER BY k.id, w.period
  FOR SHARE OF k
  ON CONFLICT DO NOTHING;
END $$;
