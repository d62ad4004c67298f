-- Trigger of budget_account: the account of a member of a limit is made. What is leased of requests and of calls in flight is
-- used at once. It never changes what a limit counts, so that no later charge has to look.
CREATE OR REPLACE FUNCTION limit_account_open_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.is_leased_used := (SELECT l.unit IN ('requests', 'slots') FROM quota_limit l WHERE l.id = NEW.limit_id);
  NEW.used_step := limit_used_step(CASE WHEN NEW.is_leased_used
    THEN saturating_add(NEW.spent_micro_cents, NEW.leased_micro_cents) ELSE NEW.spent_micro_cents END);
  RETURN NEW;
END $$;
