-- Trigger of api_key: a change of the budget reaches the accounts in the same transaction.
-- The floor is what the account holds at that moment, if that is more than the new limit: so much may remain, no more
-- may come.
CREATE OR REPLACE FUNCTION quota_change_limit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM budget_account a WHERE a.key_id = NEW.id AND (a.period = 'total' OR a.period >= quota_month(quota_clock()))
    ORDER BY a.period FOR UPDATE;
  UPDATE budget_account a
  SET limit_micro_cents = l.active,
    floor_micro_cents = CASE WHEN l.active IS NOT NULL
      THEN greatest(l.active, a.spent_micro_cents - a.overdraft_micro_cents + a.leased_micro_cents) END
  FROM (VALUES ('total', true), ('monthly', false)) AS t(type, is_total),
    LATERAL (SELECT CASE WHEN NEW.budget_type = t.type THEN NEW.budget_limit_micro_cents END AS active) l
  WHERE a.key_id = NEW.id AND (a.period = 'total') = t.is_total
    AND (a.period = 'total' OR a.period >= quota_month(quota_clock()));
  RETURN NULL;
END $$;
