-- Names the time since PostgreSQL may last have lost commits that waited for no disk. The table is not logged: PostgreSQL empties
-- it with each crash and each promotion, and keeps it over a clean restart. The first statement afterwards draws a new name.
CREATE OR REPLACE FUNCTION quota_epoch_now() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
BEGIN
  SELECT e.id INTO v_id FROM quota_epoch e;
  IF v_id IS NULL THEN
    INSERT INTO quota_epoch (id) VALUES (token_epoch_new()) ON CONFLICT DO NOTHING;
    SELECT e.id INTO v_id FROM quota_epoch e;
  END IF;
  RETURN v_id;
END $$;
