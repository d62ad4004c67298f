-- Trigger of budget_account: what the account of a member of a limit has used has changed.
CREATE OR REPLACE FUNCTION limit_account_move_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.used_step := limit_used_step(CASE WHEN NEW.is_leased_used
    THEN saturating_add(NEW.spent_micro_cents, NEW.leased_micro_cents) ELSE NEW.spent_micro_cents END);
  RETURN NEW;
END $$;
