-- Cells of a window of tokens after p_tokens were added to a bucket, or taken out of it where negative: no more than it has.
-- A count stops at 2·10⁹, and such a bucket keeps it until it leaves.
CREATE OR REPLACE FUNCTION token_cells_change(p_cells bigint[], p_bucket bigint, p_tokens bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  k_count CONSTANT bigint := 4294967295;
  k_most CONSTANT bigint := 2000000000;
  v_at integer := cardinality(p_cells);
  v_held bigint;
BEGIN
  IF p_tokens = 0 THEN RETURN p_cells; END IF;
  WHILE p_cells[v_at] >> 32 > p_bucket LOOP v_at := v_at - 1; END LOOP;
  IF p_cells[v_at] >> 32 = p_bucket THEN
    v_held := p_cells[v_at] & k_count;
    IF v_held >= k_most THEN RETURN p_cells; END IF;
    v_held := greatest(0, least(v_held + least(p_tokens, k_most), k_most));
    IF v_held = 0 THEN RETURN p_cells[:v_at - 1] || p_cells[v_at + 1:]; END IF;
    p_cells[v_at] := p_bucket << 32 | v_held;
    RETURN p_cells;
  END IF;
  IF p_tokens < 0 THEN RETURN p_cells; END IF;
  RETURN p_cells[:v_at] || (p_bucket << 32 | least(p_tokens, k_most)) || p_cells[v_at + 1:];
END $$;
