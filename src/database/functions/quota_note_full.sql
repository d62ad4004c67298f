-- Trigger of budget_account: what is spent has reached the limit. Replicas read the mark with their next poll, and so that one
-- which commits late is read as well, for some seconds (docs/adr/0058).
CREATE OR REPLACE FUNCTION quota_note_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.full_at := clock_timestamp();
  RETURN NEW;
END $$;
