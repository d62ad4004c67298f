-- Trigger of budget_account: a limited account that is made while the key is raised, as that of the next month, has the raise.
CREATE OR REPLACE FUNCTION quota_take_raise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT quota_raise(k.budget_raise), (k.budget_raise->>'until')::timestamptz INTO NEW.raise_micro_cents, NEW.raise_until
    FROM api_key k WHERE k.id = NEW.key_id AND (k.budget_raise->>'until')::timestamptz > quota_clock();
  NEW.floor_micro_cents := NEW.limit_micro_cents + coalesce(NEW.raise_micro_cents, 0);
  RETURN NEW;
END $$;
