import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What: the accounts and leases of budgets, the rate windows, the ends of reservations, and the functions that act on
 * them, each a single statement for its caller.
 * Why functions: an acquire tests, grants and writes under row locks. In one statement those locks never wait for a
 * replica's event loop or its network.
 * Lock taken: none on existing tables; everything here is new. Needs `api_key`.
 * Can old code run against it: yes, it does not know these tables.
 *
 * Lock order, everywhere: api_key → reservation_end → budget_account → budget_lease → rate_window; inside a table by
 * key. Whoever changes a lease holds its account's lock, so leases need no order among themselves.
 */
export class Quotas1790000000300 implements MigrationInterface {
  name = 'Quotas1790000000300';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of [TABLES, CLOCK, KEY_ACCOUNTS, OPEN_MONTHS, ACQUIRE_BUDGETS, LOOK_AT_BUDGETS, WINDOWS, GIVE_BACK, SETTLE, CLOSE, GRANTS]) {
      await runner.query(statement);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER api_key_open_account ON api_key;
      DROP TRIGGER api_key_change_limit ON api_key;
      DROP FUNCTION quota_open_account, quota_change_limit;
      DROP FUNCTION quota_close_expired, quota_settle, quota_give_back, quota_windows, quota_look_at_budgets, quota_acquire_budgets,
        quota_open_months, quota_month, quota_ms, quota_clock;
      DROP TABLE reservation_end, rate_window, budget_lease, budget_account;
    `);
  }
}

const TABLES = `
CREATE TABLE budget_account (
  key_id uuid NOT NULL,
  period text COLLATE "C" NOT NULL,
  limit_micro_cents bigint,
  spent_micro_cents bigint NOT NULL DEFAULT 0,
  leased_micro_cents bigint NOT NULL DEFAULT 0,
  overdraft_micro_cents bigint NOT NULL DEFAULT 0,
  floor_micro_cents bigint,
  used_percent integer GENERATED ALWAYS AS (CASE
    WHEN limit_micro_cents > 0 THEN least(ceil(spent_micro_cents::numeric * 100 / limit_micro_cents), 1000)::integer
    WHEN limit_micro_cents = 0 THEN CASE WHEN spent_micro_cents > 0 THEN 1000 ELSE 0 END END) STORED,
  CONSTRAINT budget_account_pk PRIMARY KEY (key_id, period),
  CONSTRAINT budget_account_period CHECK (period = 'total' OR period ~ '^[0-9]{4}-(0[1-9]|1[0-2])-01$'),
  CONSTRAINT budget_account_not_negative CHECK (limit_micro_cents >= 0 AND spent_micro_cents >= 0
    AND leased_micro_cents >= 0 AND overdraft_micro_cents >= 0),
  CONSTRAINT budget_account_wall CHECK (limit_micro_cents IS NULL
    OR spent_micro_cents - overdraft_micro_cents + leased_micro_cents <= greatest(limit_micro_cents, floor_micro_cents))
) WITH (fillfactor = 70);
COMMENT ON TABLE budget_account IS 'Money of one key in one period; limit NULL = not limited by this account';
-- Whole percents, rounded up: the index on spending moves a hundred times in the life of a budget and not with every
-- charge, so that charges stay updates in place. Accounts without spending are not in it.
CREATE INDEX budget_account_used_idx ON budget_account (period, used_percent, key_id) WHERE used_percent > 0;

CREATE TABLE budget_lease (
  id uuid NOT NULL,
  key_id uuid NOT NULL,
  period text COLLATE "C" NOT NULL,
  replica_id text NOT NULL,
  kind text NOT NULL,
  granted_micro_cents bigint NOT NULL,
  settled_micro_cents bigint NOT NULL DEFAULT 0,
  return_count integer NOT NULL DEFAULT 0,
  granted_at timestamptz NOT NULL,
  admit_until timestamptz NOT NULL,
  hold_until timestamptz NOT NULL,
  CONSTRAINT budget_lease_pk PRIMARY KEY (id),
  CONSTRAINT budget_lease_kind CHECK (kind IN ('pooled', 'own', 'default')),
  CONSTRAINT budget_lease_amounts CHECK (0 <= settled_micro_cents AND settled_micro_cents <= granted_micro_cents)
) WITH (fillfactor = 70);
CREATE INDEX budget_lease_hold_until ON budget_lease (hold_until);
CREATE INDEX budget_lease_default ON budget_lease (key_id, period, granted_at, id) WHERE kind = 'default';

CREATE TABLE reservation_end (
  key_id uuid NOT NULL,
  reservation_id uuid NOT NULL,
  kind text NOT NULL,
  ended_by text NOT NULL,
  ended_at timestamptz NOT NULL,
  CONSTRAINT reservation_end_pk PRIMARY KEY (key_id, reservation_id),
  CONSTRAINT reservation_end_kind CHECK (kind IN ('settle', 'release'))
);
CREATE INDEX reservation_end_ended_at ON reservation_end (ended_at);

CREATE TABLE rate_window (
  key_id uuid NOT NULL,
  at_ms bigint NOT NULL,
  sums integer[] NOT NULL,
  minute_cells bigint[] NOT NULL,
  hour_cells bigint[] NOT NULL,
  day_cells bigint[] NOT NULL,
  CONSTRAINT rate_window_pk PRIMARY KEY (key_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE rate_window IS 'Permits by bucket: of each bucket that counts any, oldest first, bucket * 2^32 + permits; sums has the sum of each list. See src/quotas/rate-ring.ts, which says the same in TypeScript';
`;

/** The one clock of the authority: whole milliseconds, and one place for a test to set. */
const CLOCK = `
CREATE FUNCTION quota_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT date_trunc('milliseconds', clock_timestamp()) $$;

CREATE FUNCTION quota_ms(instant timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE
AS $$ SELECT (extract(epoch FROM instant) * 1000)::bigint $$;

CREATE FUNCTION quota_month(instant timestamptz) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM"-01"') $$;
`;

/**
 * Triggers, so that no door to a key can forget its money: a key has its total account from birth, and a change of its
 * budget reaches its accounts in the same transaction, after the key row and before anything else.
 *
 * The floor is what the account holds at the moment of the change, if that is more than the new limit: so much may
 * remain, no more may come. (The lowest floor ever, as an earlier draft had it, refuses the change once a limit has
 * been raised, used and lowered again.)
 */
const KEY_ACCOUNTS = `
CREATE FUNCTION quota_open_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents)
  SELECT NEW.id, 'total', l.active, l.active
  FROM (SELECT CASE WHEN NEW.budget_type = 'total' THEN NEW.budget_limit_micro_cents END AS active) l
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;

CREATE FUNCTION quota_change_limit() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER api_key_open_account AFTER INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION quota_open_account();
CREATE TRIGGER api_key_change_limit AFTER UPDATE OF budget_limit_micro_cents, budget_type ON api_key FOR EACH ROW
  WHEN (OLD.budget_limit_micro_cents IS DISTINCT FROM NEW.budget_limit_micro_cents OR OLD.budget_type IS DISTINCT FROM NEW.budget_type)
  EXECUTE FUNCTION quota_change_limit();

INSERT INTO budget_account (key_id, period, limit_micro_cents, floor_micro_cents)
SELECT k.id, 'total', l.active, l.active
FROM api_key k CROSS JOIN LATERAL (SELECT CASE WHEN k.budget_type = 'total' THEN k.budget_limit_micro_cents END AS active) l;
`;

/**
 * Makes the month rows that are missing. The key row is read FOR SHARE: a PATCH beside it, which writes key row and
 * then accounts, is either seen here or finds the row made here.
 */
const OPEN_MONTHS = `
CREATE FUNCTION quota_open_months(p_key uuid[], p_period text[]) RETURNS void LANGUAGE plpgsql AS $$
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
`;

/** Protocol: each need in order that fits, own leases singly, the pooled ones as one slice. See slice.ts. */
const ACQUIRE_BUDGETS = `
CREATE FUNCTION quota_acquire_budgets(
  p_replica text, p_live integer,
  p_account uuid[], p_type text[], p_kind text[], p_lease uuid[], p_want bigint[], p_first integer[], p_count integer[],
  n_amount bigint[], n_ttl integer[], n_lease uuid[]
) RETURNS TABLE (
  ask integer, is_found boolean, period text, month text, limit_mc bigint, spent_mc bigint, leased_mc bigint,
  verdicts boolean[], slice bigint, admit_for_ms bigint, clock_ms bigint, month_ends_in_ms bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := quota_clock();
  v_asked_month text := quota_month(v_now);
  v_until timestamptz;
  v_month_end timestamptz;
  v_room bigint; v_left bigint; v_pooled bigint; v_taken bigint; v_share bigint;
  v_fits boolean;
BEGIN
  PERFORM quota_open_months(array_agg(u.id), array_agg(v_asked_month))
    FROM unnest(p_account, p_type) AS u(id, type) WHERE u.type = 'monthly' HAVING count(*) > 0;
  PERFORM FROM budget_account a
    WHERE (a.key_id, a.period) IN (
      SELECT u.id, CASE u.type WHEN 'total' THEN 'total' ELSE v_asked_month END FROM unnest(p_account, p_type) AS u(id, type))
    ORDER BY a.key_id, a.period FOR UPDATE;
  -- The clock after the lock: waiting for it must not shorten or date back what is granted.
  v_now := quota_clock();
  month := quota_month(v_now);
  v_month_end := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  v_until := least(v_now + interval '10 seconds', v_month_end);
  clock_ms := quota_ms(v_now);
  admit_for_ms := quota_ms(v_until) - clock_ms;
  month_ends_in_ms := quota_ms(v_month_end) - clock_ms;
  FOR i IN 1 .. cardinality(p_account) LOOP
    ask := i;
    period := CASE p_type[i] WHEN 'total' THEN 'total' ELSE month END;
    verdicts := array_fill(false, ARRAY[p_count[i]]);
    slice := 0;
    SELECT a.limit_micro_cents, a.spent_micro_cents, a.leased_micro_cents INTO limit_mc, spent_mc, leased_mc
      FROM budget_account a WHERE a.key_id = p_account[i] AND a.period = quota_acquire_budgets.period;
    -- A month that began between the two clocks has no row of ours under lock: refused, the caller asks again.
    is_found := FOUND AND (period = 'total' OR month = v_asked_month);
    IF NOT is_found THEN
      limit_mc := NULL; spent_mc := 0; leased_mc := 0;
      RETURN NEXT;
      CONTINUE;
    END IF;
    v_room := greatest(0, limit_mc - spent_mc - leased_mc);
    IF limit_mc IS NULL THEN v_room := NULL; END IF;
    v_left := coalesce(v_room, 0);
    v_pooled := 0;
    v_taken := 0;
    FOR n IN p_first[i] .. p_first[i] + p_count[i] - 1 LOOP
      v_fits := v_room IS NULL OR CASE WHEN n_amount[n] = 0 THEN v_left > 0 ELSE n_amount[n] <= v_left END;
      CONTINUE WHEN NOT v_fits;
      verdicts[n - p_first[i] + 1] := true;
      IF v_room IS NOT NULL THEN v_left := v_left - n_amount[n]; END IF;
      IF n_lease[n] IS NULL THEN
        v_pooled := v_pooled + n_amount[n];
      ELSE
        v_taken := v_taken + n_amount[n];
        INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
        VALUES (n_lease[n], p_account[i], quota_acquire_budgets.period, p_replica, 'own', n_amount[n], v_now, v_until,
          v_until + interval '5 seconds' + make_interval(secs => n_ttl[n]));
      END IF;
    END LOOP;
    slice := v_pooled;
    v_left := v_left + v_pooled;
    IF limit_mc IS NOT NULL AND v_pooled > 0 AND v_left >= 8 * v_pooled AND v_left * 50 >= limit_mc THEN
      v_share := v_left / (4 * p_live);
      slice := greatest(v_pooled, least(p_want[i], v_share));
    END IF;
    IF slice > 0 THEN
      INSERT INTO budget_lease (id, key_id, period, replica_id, kind, granted_micro_cents, granted_at, admit_until, hold_until)
      VALUES (p_lease[i], p_account[i], quota_acquire_budgets.period, p_replica, p_kind[i], slice, v_now, v_until,
        v_until + interval '65 seconds');
    END IF;
    v_taken := v_taken + slice;
    leased_mc := leased_mc + v_taken;
    IF v_taken > 0 THEN
      UPDATE budget_account a SET leased_micro_cents = leased_mc
        WHERE a.key_id = p_account[i] AND a.period = quota_acquire_budgets.period;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
`;

/**
 * Budgets that nothing is taken from: read without a lock, so that it neither waits nor writes. A month that has no row
 * yet is what its row would be: nothing spent, the limit of the key.
 *
 * Gives `month,admit_for_ms,clock_ms,month_ends_in_ms`, then for each account `;found,limit,spent,leased`.
 */
const LOOK_AT_BUDGETS = `
CREATE FUNCTION quota_look_at_budgets(p_account uuid[], p_type text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_month text := quota_month(v_now);
  v_month_end timestamptz := (date_trunc('month', v_now AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  v_clock bigint := quota_ms(v_now);
  v_ends bigint := quota_ms(v_month_end) - v_clock;
  v_found text;
BEGIN
  SELECT string_agg(CASE
      WHEN a.key_id IS NOT NULL THEN concat('1,', a.limit_micro_cents, ',', a.spent_micro_cents, ',', a.leased_micro_cents)
      WHEN u.type = 'total' THEN '0,,0,0'
      ELSE coalesce((SELECT concat('1,', CASE WHEN k.budget_type = 'monthly' THEN k.budget_limit_micro_cents END, ',0,0')
        FROM api_key k WHERE k.id = u.id), '0,,0,0')
    END, ';' ORDER BY u.n) INTO v_found
  FROM unnest(p_account, p_type) WITH ORDINALITY AS u(id, type, n)
  LEFT JOIN budget_account a ON a.key_id = u.id AND a.period = CASE u.type WHEN 'total' THEN 'total' ELSE v_month END;
  RETURN concat_ws(',', v_month, least(10000, v_ends), v_clock, v_ends) || ';' || v_found;
END $$;
`;

/**
 * The windows of many keys: slides, closes previous leases, grants. With p_creates false it only closes, in rows that
 * exist. Keys come sorted and each once, with p_asks asks each; the asks of a key share one read and one write of its row.
 *
 * Gives for each ask, in order, `verdicts,permits,bucket,valid_ms,free,reset_ms,retry_ms`, separated by semicolons; a
 * verdict is 1 or 0 for each need. Text, because building and reading rows and arrays cost more than the arithmetic.
 */
const WINDOWS = `
CREATE FUNCTION quota_windows(
  p_live integer, p_relaxed boolean, p_creates boolean,
  p_key uuid[], p_asks integer[], p_window integer[], p_limit integer[], p_want integer[], p_count integer[],
  n_cost integer[], c_bucket bigint[], c_granted integer[], c_used integer[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  k_bucket CONSTANT bigint[] := ARRAY[2000, 60000, 900000];
  k_reach CONSTANT bigint[] := ARRAY[30, 60, 96];
  k_cells CONSTANT bigint[] := ARRAY[40, 63, 99];
  k_count CONSTANT bigint := 4294967295;
  v_out text[] := '{}';
  v_now bigint; v_sums integer[]; v_minute bigint[]; v_hour bigint[]; v_day bigint[];
  v_size bigint; v_head bigint; v_oldest bigint; v_sum bigint; v_cells bigint[]; v_at integer; v_held bigint;
  v_room bigint; v_left bigint; v_need bigint; v_refused bigint; v_permits bigint; v_verdicts text;
  v_valid bigint; v_bucket bigint; v_retry bigint; v_seen bigint;
  w integer; i integer := 0; n integer := 1;
BEGIN
  -- Losing the last half second of counts with a crash is a stated exception; waiting for the disk is not worth it.
  IF p_relaxed THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  FOR k IN 1 .. cardinality(p_key) LOOP
    SELECT r.at_ms, r.sums, r.minute_cells, r.hour_cells, r.day_cells INTO v_now, v_sums, v_minute, v_hour, v_day
      FROM rate_window r WHERE r.key_id = p_key[k] FOR UPDATE;
    IF NOT FOUND THEN
      IF NOT p_creates THEN
        i := i + p_asks[k];
        CONTINUE;
      END IF;
      INSERT INTO rate_window AS r (key_id, at_ms, sums, minute_cells, hour_cells, day_cells)
        VALUES (p_key[k], quota_ms(quota_clock()), ARRAY[0, 0, 0], '{}', '{}', '{}') ON CONFLICT DO NOTHING;
      -- Ours, or that of another replica, which came first.
      SELECT r.at_ms, r.sums, r.minute_cells, r.hour_cells, r.day_cells INTO v_now, v_sums, v_minute, v_hour, v_day
        FROM rate_window r WHERE r.key_id = p_key[k] FOR UPDATE;
    END IF;
    v_now := greatest(quota_ms(quota_clock()), v_now);
    FOR a IN 1 .. p_asks[k] LOOP
      i := i + 1;
      w := p_window[i];
      v_size := k_bucket[w];
      v_head := v_now / v_size;
      v_oldest := v_head - k_reach[w];
      v_sum := v_sums[w];
      v_cells := CASE w WHEN 1 THEN v_minute WHEN 2 THEN v_hour ELSE v_day END;
      -- slide
      IF v_cells[1] < v_oldest << 32 THEN
        v_at := 1;
        WHILE v_cells[v_at] < v_oldest << 32 LOOP
          v_sum := v_sum - (v_cells[v_at] & k_count);
          v_at := v_at + 1;
        END LOOP;
        v_cells := v_cells[v_at:];
      END IF;
      -- close
      IF c_bucket[i] >= v_oldest AND c_bucket[i] < v_oldest + k_cells[w] THEN
        v_at := cardinality(v_cells);
        WHILE v_cells[v_at] >> 32 > c_bucket[i] LOOP v_at := v_at - 1; END LOOP;
        -- Fewer than granted: the grant was lost with a crash; others' permits must stay.
        v_held := CASE WHEN v_cells[v_at] >> 32 = c_bucket[i] AND v_cells[v_at] & k_count >= c_granted[i] THEN c_granted[i] ELSE 0 END;
        v_bucket := least(v_head, c_bucket[i]);
        v_sum := v_sum + c_used[i] - v_held;
        IF v_bucket = c_bucket[i] AND v_cells[v_at] >> 32 = v_bucket AND (v_cells[v_at] & k_count) + c_used[i] > v_held THEN
          IF v_held <> c_used[i] THEN v_cells[v_at] := v_cells[v_at] + c_used[i] - v_held; END IF;
        ELSE
          IF v_held > 0 THEN
            v_cells[v_at] := v_cells[v_at] - v_held;
            IF v_cells[v_at] & k_count = 0 THEN v_cells := v_cells[:v_at - 1] || v_cells[v_at + 1:]; END IF;
          END IF;
          IF c_used[i] > 0 THEN
            v_at := cardinality(v_cells);
            WHILE v_cells[v_at] >> 32 > v_bucket LOOP v_at := v_at - 1; END LOOP;
            IF v_cells[v_at] >> 32 = v_bucket THEN
              v_cells[v_at] := v_cells[v_at] + c_used[i];
            ELSE
              v_cells := v_cells[:v_at] || (v_bucket << 32 | c_used[i]) || v_cells[v_at + 1:];
            END IF;
          END IF;
        END IF;
      END IF;
      -- grant
      v_room := greatest(0, p_limit[i] - v_sum);
      v_left := v_room;
      v_refused := NULL;
      v_verdicts := '';
      FOR need IN n .. n + p_count[i] - 1 LOOP
        IF n_cost[need] <= v_left THEN
          v_left := v_left - n_cost[need];
          v_verdicts := v_verdicts || '1';
        ELSE
          v_refused := coalesce(v_refused, n_cost[need]);
          v_verdicts := v_verdicts || '0';
        END IF;
      END LOOP;
      n := n + p_count[i];
      v_need := v_room - v_left;
      v_permits := CASE WHEN v_need > 0 AND v_room >= 8 * v_need AND v_room * 50 >= p_limit[i]
        THEN greatest(v_need, least(p_want[i], v_room / (4 * p_live))) ELSE v_need END;
      v_valid := CASE WHEN v_permits > v_need AND v_permits * 8 <= p_limit[i] THEN 15000 ELSE 1000 END;
      v_bucket := (v_now + v_valid) / v_size;
      IF v_permits > 0 THEN
        v_sum := v_sum + v_permits;
        v_at := cardinality(v_cells);
        WHILE v_cells[v_at] >> 32 > v_bucket LOOP v_at := v_at - 1; END LOOP;
        IF v_cells[v_at] >> 32 = v_bucket THEN
          v_cells[v_at] := v_cells[v_at] + v_permits;
        ELSE
          v_cells := v_cells[:v_at] || (v_bucket << 32 | v_permits) || v_cells[v_at + 1:];
        END IF;
      END IF;
      v_retry := 0;
      IF v_refused IS NOT NULL THEN
        v_seen := p_limit[i] - v_sum;
        FOR at IN 1 .. cardinality(v_cells) LOOP
          v_seen := v_seen + (v_cells[at] & k_count);
          IF v_seen >= v_refused THEN
            v_retry := ((v_cells[at] >> 32) + k_reach[w] + 1) * v_size - v_now;
            EXIT;
          END IF;
        END LOOP;
      END IF;
      v_out[i] := concat_ws(',', v_verdicts, v_permits, v_bucket, v_valid, greatest(0, p_limit[i] - v_sum),
        coalesce(((v_cells[cardinality(v_cells)] >> 32) + k_reach[w] + 1) * v_size - v_now, 0), v_retry);
      v_sums[w] := v_sum;
      CASE w WHEN 1 THEN v_minute := v_cells; WHEN 2 THEN v_hour := v_cells; ELSE v_day := v_cells; END CASE;
    END LOOP;
    UPDATE rate_window r SET at_ms = v_now, sums = v_sums, minute_cells = v_minute, hour_cells = v_hour, day_cells = v_day
      WHERE r.key_id = p_key[k];
  END LOOP;
  RETURN array_to_string(v_out, ';');
END $$;
`;

/** Each lease at most once per call. A return number that was seen, or a closed lease, changes nothing. */
const GIVE_BACK = `
CREATE FUNCTION quota_give_back(p_lease uuid[], p_number integer[], p_amount bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM budget_account a
    WHERE (a.key_id, a.period) IN (SELECT l.key_id, l.period FROM budget_lease l WHERE l.id = ANY (p_lease))
    ORDER BY a.key_id, a.period FOR UPDATE;
  WITH back AS MATERIALIZED (
    SELECT l.id, l.key_id, l.period, b.number,
      least(coalesce(b.amount, l.granted_micro_cents - l.settled_micro_cents), l.granted_micro_cents - l.settled_micro_cents) AS amount
    FROM unnest(p_lease, p_number, p_amount) AS b(id, number, amount)
    JOIN budget_lease l ON l.id = b.id AND l.return_count < b.number
  ), shrunk AS (
    UPDATE budget_lease l SET granted_micro_cents = l.granted_micro_cents - b.amount, return_count = b.number
    FROM back b WHERE l.id = b.id
  )
  UPDATE budget_account a SET leased_micro_cents = a.leased_micro_cents - s.amount
  FROM (SELECT b.key_id, b.period, sum(b.amount)::bigint AS amount FROM back b GROUP BY b.key_id, b.period) s
  WHERE a.key_id = s.key_id AND a.period = s.period;
  -- Nothing is open in it: neither memory nor a reservation needs it any more.
  DELETE FROM budget_lease l WHERE l.id = ANY (p_lease) AND l.granted_micro_cents = l.settled_micro_cents;
END $$;
`;

/**
 * Charges and releases, each reservation at most once per call; an entry whose kind is NULL is `skipped`. Lists that
 * are shorter than the entries are NULL from there on. One event that the wall refuses is told apart from the others by
 * trying them one by one.
 *
 * Lists are walked once and never joined with each other. Plans are made once a connection and pinned to index look-ups:
 * one that was made while a table was small would read all of it for good. Accounts are charged by INSERT … ON CONFLICT, which locks
 * one after the other in the order of its rows, where an UPDATE promises no order.
 */
const SETTLE = `
CREATE FUNCTION quota_settle(
  e_kind text[], e_key uuid[], e_reservation uuid[], e_month text[], e_reserved bigint[], e_amount bigint[], e_by text[], e_default bigint[],
  h_event integer[], h_account uuid[], h_period text[], h_lease uuid[]
) RETURNS TABLE (event integer, outcome text, is_late boolean, excess bigint) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := quota_clock();
  v_count integer := cardinality(e_kind);
  v_month text[] := e_month;
  v_is_plain boolean;
  v_outcome text[] := array_fill(NULL::text, ARRAY[v_count]);
  v_late boolean[] := array_fill(false, ARRAY[v_count]);
  v_ended bytea[];
  v_size bigint[] := '{}';
  v_event integer[] := h_event; v_account uuid[] := h_account; v_period text[] := h_period; v_lease uuid[] := h_lease;
  v_row record;
BEGIN
  IF cardinality(v_month) < v_count OR array_position(v_month, NULL) IS NOT NULL THEN
    FOR i IN 1 .. v_count LOOP v_month[i] := coalesce(v_month[i], quota_month(v_now)); END LOOP;
  END IF;
  -- Nothing but costs that nobody reserved, of keys that are known: the sums of the accounts are all there is to it.
  v_is_plain := array_remove(e_kind, 'settle') = '{}' AND array_remove(e_reservation, NULL) = '{}' AND array_remove(e_default, 0) = '{}'
    AND cardinality(h_event) = 0;
  BEGIN
    PERFORM FROM unnest(e_key, v_month) AS w(key_id, month)
      WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = w.key_id AND a.period = w.month);
    -- A month's row is made for keys alone, and a key has its total row from birth: only without it may one be unknown.
    IF FOUND THEN
      PERFORM quota_open_months(e_key, v_month);
      FOR v_row IN
        SELECT e.n FROM unnest(e_key) WITH ORDINALITY AS e(key, n)
        WHERE NOT EXISTS (SELECT FROM budget_account a WHERE a.key_id = e.key AND a.period = 'total')
      LOOP
        v_outcome[v_row.n] := 'unknown-key';
        v_is_plain := false;
      END LOOP;
    END IF;
    IF v_is_plain THEN
      v_outcome := array_fill('settled'::text, ARRAY[v_count]);
      INSERT INTO budget_account AS a (key_id, period, spent_micro_cents, overdraft_micro_cents)
      SELECT s.key_id, s.period, s.amount, s.amount
      FROM (
        SELECT p.key_id, p.period, sum(p.amount)::bigint AS amount
        FROM (
          SELECT e.key, 'total', e.amount FROM unnest(e_key, e_amount) AS e(key, amount)
          UNION ALL SELECT e.key, e.month, e.amount FROM unnest(e_key, v_month, e_amount) AS e(key, month, amount)
        ) p(key_id, period, amount)
        GROUP BY p.key_id, p.period HAVING sum(p.amount) > 0
      ) s
      ORDER BY s.key_id, s.period COLLATE "C"
      ON CONFLICT (key_id, period) DO UPDATE SET
        spent_micro_cents = a.spent_micro_cents + EXCLUDED.spent_micro_cents,
        overdraft_micro_cents = a.overdraft_micro_cents + CASE WHEN a.limit_micro_cents IS NULL THEN 0 ELSE greatest(0, least(
          EXCLUDED.overdraft_micro_cents, a.spent_micro_cents + EXCLUDED.spent_micro_cents + a.leased_micro_cents - a.limit_micro_cents)) END;
      RETURN QUERY SELECT n, 'settled'::text, false, 0::bigint FROM generate_series(1, v_count) AS n;
      RETURN;
    END IF;
    -- The first end of each reservation wins; who comes second waits here for the first one's commit.
    WITH ended AS (
      INSERT INTO reservation_end (key_id, reservation_id, kind, ended_by, ended_at)
      SELECT e.key, e.reservation, e.kind, e.by, v_now
      FROM unnest(e_kind, e_key, e_reservation, e_by) WITH ORDINALITY AS e(kind, key, reservation, by, n)
      WHERE e.reservation IS NOT NULL AND e.kind IS NOT NULL AND v_outcome[e.n] IS NULL
      ORDER BY e.key, e.reservation
      ON CONFLICT DO NOTHING
      RETURNING uuid_send(key_id) || uuid_send(reservation_id) AS name
    )
    SELECT array_agg(e.name) INTO v_ended FROM ended e;
    SELECT array_agg(CASE
        WHEN v_outcome[e.n] IS NOT NULL THEN v_outcome[e.n]
        WHEN e.kind IS NULL THEN 'skipped'
        WHEN e.reservation IS NULL OR uuid_send(e.key) || uuid_send(e.reservation) = ANY (v_ended)
          THEN CASE e.kind WHEN 'settle' THEN 'settled' ELSE 'released' END
      END ORDER BY e.n)
      INTO v_outcome FROM unnest(e_kind, e_key, e_reservation) WITH ORDINALITY AS e(kind, key, reservation, n) WHERE e.n <= v_count;
    IF array_position(v_outcome, NULL) IS NOT NULL THEN
      FOR v_row IN
        SELECT e.n, e.kind, e.by AS settler, r.kind AS ended_kind, r.ended_by, r.key_id, r.reservation_id
        FROM unnest(e_kind, e_key, e_reservation, e_by) WITH ORDINALITY AS e(kind, key, reservation, by, n)
        JOIN reservation_end r ON r.key_id = e.key AND r.reservation_id = e.reservation
        WHERE v_outcome[e.n] IS NULL
        ORDER BY r.key_id, r.reservation_id FOR UPDATE OF r
      LOOP
        IF v_row.kind = 'release' THEN
          v_outcome[v_row.n] := CASE v_row.ended_kind WHEN 'release' THEN 'already-released' ELSE 'already-settled' END;
        ELSIF v_row.ended_kind = 'settle' THEN
          v_outcome[v_row.n] := CASE WHEN v_row.ended_by = v_row.settler THEN 'duplicate' ELSE 'already-settled' END;
        ELSE
          UPDATE reservation_end r SET kind = 'settle', ended_by = v_row.settler, ended_at = v_now
            WHERE r.key_id = v_row.key_id AND r.reservation_id = v_row.reservation_id;
          v_outcome[v_row.n] := 'settled';
          v_late[v_row.n] := true;
        END IF;
      END LOOP;
    END IF;
    -- Accounts: the key's own two, and those the holds name. Leases need their accounts' locks.
    PERFORM FROM budget_account a
      JOIN (
        SELECT e.key, 'total' FROM unnest(e_key) WITH ORDINALITY AS e(key, n) WHERE v_outcome[e.n] IN ('settled', 'released')
        UNION
        SELECT e.key, e.month FROM unnest(e_key, v_month) WITH ORDINALITY AS e(key, month, n) WHERE v_outcome[e.n] IN ('settled', 'released')
        UNION
        SELECT h.account, h.period FROM unnest(h_event, h_account, h_period) AS h(event, account, period) WHERE v_outcome[h.event] IN ('settled', 'released')
      ) named(key_id, period) ON a.key_id = named.key_id AND a.period = named.period
      ORDER BY a.key_id, a.period FOR UPDATE OF a;
    -- Sizes of the holds that are still open; a hold without its lease is late.
    FOR i IN 1 .. cardinality(v_event) LOOP
      v_size[i] := 0;
      CONTINUE WHEN v_outcome[v_event[i]] NOT IN ('settled', 'released') OR v_late[v_event[i]];
      v_size[i] := e_reserved[v_event[i]];
    END LOOP;
    FOR v_row IN
      SELECT h.n, h.event FROM unnest(v_event, v_lease) WITH ORDINALITY AS h(event, lease, n)
      WHERE v_outcome[h.event] IN ('settled', 'released') AND NOT EXISTS (SELECT FROM budget_lease l WHERE l.id = h.lease)
    LOOP
      v_size[v_row.n] := 0;
      v_late[v_row.event] := true;
    END LOOP;
    -- Callers who did not reserve free the oldest open default hold.
    FOR i IN 1 .. cardinality(e_kind) LOOP
      CONTINUE WHEN coalesce(e_default[i], 0) = 0 OR e_reservation[i] IS NOT NULL OR v_outcome[i] <> 'settled';
      SELECT l.id, l.key_id, l.period, l.granted_micro_cents - l.settled_micro_cents - coalesce((
          SELECT sum(u.size) FROM unnest(v_lease, v_size) AS u(lease, size) WHERE u.lease = l.id), 0) AS open INTO v_row
        FROM budget_lease l
        WHERE l.key_id = e_key[i] AND l.period IN ('total', v_month[i]) AND l.kind = 'default'
          AND l.granted_micro_cents - l.settled_micro_cents > coalesce((
            SELECT sum(u.size) FROM unnest(v_lease, v_size) AS u(lease, size) WHERE u.lease = l.id), 0)
        ORDER BY l.granted_at, l.id LIMIT 1;
      CONTINUE WHEN NOT FOUND;
      v_event := v_event || i; v_account := v_account || v_row.key_id; v_period := v_period || v_row.period;
      v_lease := v_lease || v_row.id; v_size := v_size || least(e_default[i], v_row.open)::bigint;
    END LOOP;
    UPDATE budget_lease l SET
      settled_micro_cents = l.settled_micro_cents + s.used,
      granted_micro_cents = l.granted_micro_cents - s.rest
    FROM (
      SELECT h.lease, sum(least(e_amount[h.event], h.size))::bigint AS used, sum(h.size - least(e_amount[h.event], h.size))::bigint AS rest
      FROM unnest(v_event, v_lease, v_size) AS h(event, lease, size) WHERE h.size > 0 GROUP BY h.lease
    ) s WHERE l.id = s.lease;
    UPDATE budget_account a SET
      spent_micro_cents = a.spent_micro_cents + s.amount,
      leased_micro_cents = a.leased_micro_cents - s.size,
      overdraft_micro_cents = a.overdraft_micro_cents + CASE WHEN a.limit_micro_cents IS NULL THEN 0 ELSE greatest(0, least(
        s.uncovered, a.spent_micro_cents + s.amount + a.leased_micro_cents - s.size - a.limit_micro_cents)) END
    FROM (
      SELECT z.key_id, z.period, sum(z.amount)::bigint AS amount, sum(z.size)::bigint AS size,
        sum(z.amount - least(z.amount, z.size))::bigint AS uncovered
      FROM (
        SELECT p.key_id, p.period, e_amount[p.n] AS amount, max(p.size) AS size
        FROM (
          SELECT e.key, 'total', e.n, 0 FROM unnest(e_key) WITH ORDINALITY AS e(key, n)
          UNION ALL SELECT e.key, e.month, e.n, 0 FROM unnest(e_key, v_month) WITH ORDINALITY AS e(key, month, n)
          UNION ALL SELECT h.account, h.period, h.event, h.size FROM unnest(v_event, v_account, v_period, v_size) AS h(event, account, period, size)
        ) p(key_id, period, n, size)
        WHERE v_outcome[p.n] IN ('settled', 'released')
        GROUP BY p.key_id, p.period, p.n
      ) z GROUP BY z.key_id, z.period
    ) s WHERE a.key_id = s.key_id AND a.period = s.period;
  EXCEPTION WHEN check_violation THEN
    IF v_count = 1 THEN
      RETURN QUERY SELECT 1, 'refused'::text, false, 0::bigint;
      RETURN;
    END IF;
    FOR i IN 1 .. v_count LOOP
      RETURN QUERY
        SELECT i, s.outcome, s.is_late, s.excess FROM quota_settle(
          e_kind[i:i], e_key[i:i], e_reservation[i:i], v_month[i:i], e_reserved[i:i], e_amount[i:i], e_by[i:i], e_default[i:i],
          (SELECT coalesce(array_agg(1), '{}') FROM unnest(h_event) AS h(event) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_account) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_period) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i),
          (SELECT coalesce(array_agg(h.v ORDER BY h.n), '{}') FROM unnest(h_event, h_lease) WITH ORDINALITY AS h(event, v, n) WHERE h.event = i)
        ) s;
    END LOOP;
    RETURN;
  END;
  RETURN QUERY
    SELECT e.n::integer, v_outcome[e.n], v_late[e.n],
      CASE WHEN v_outcome[e.n] = 'settled' AND e.reservation IS NOT NULL THEN greatest(0, e.amount - e.reserved) ELSE 0 END
    FROM unnest(e_reservation, e_amount, e_reserved) WITH ORDINALITY AS e(reservation, amount, reserved, n)
    WHERE e.n <= v_count
    ORDER BY e.n;
END $$;
`;

/**
 * Picks without locks, locks what nobody else has (another janitor, a busy account: next time), looks again, closes.
 * The two conditions on time are the caller's watch over this server's clock; its own clock must agree.
 */
const CLOSE = `
CREATE FUNCTION quota_close_expired(p_before timestamptz, p_watched interval, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_before timestamptz := least(p_before, quota_clock());
  v_leases uuid[];
  v_key uuid[];
  v_period text[];
  v_closed integer;
BEGIN
  SELECT array_agg(l.id) INTO v_leases FROM (
    SELECT id FROM budget_lease
    WHERE hold_until < v_before AND hold_until - granted_at <= p_watched
    ORDER BY hold_until LIMIT p_limit) l;
  IF v_leases IS NULL THEN RETURN 0; END IF;
  SELECT array_agg(a.key_id), array_agg(a.period) INTO v_key, v_period FROM (
    SELECT a.key_id, a.period FROM budget_account a
    WHERE (a.key_id, a.period) IN (SELECT l.key_id, l.period FROM budget_lease l WHERE l.id = ANY (v_leases))
    ORDER BY a.key_id, a.period FOR UPDATE SKIP LOCKED) a;
  WITH closed AS (
    DELETE FROM budget_lease l
    WHERE l.id = ANY (v_leases) AND (l.key_id, l.period) IN (SELECT * FROM unnest(v_key, v_period))
      AND l.hold_until < v_before AND l.hold_until - l.granted_at <= p_watched
    RETURNING l.key_id, l.period, l.granted_micro_cents - l.settled_micro_cents AS open
  ), freed AS (
    UPDATE budget_account a SET leased_micro_cents = a.leased_micro_cents - s.open
    FROM (SELECT c.key_id, c.period, sum(c.open)::bigint AS open FROM closed c GROUP BY c.key_id, c.period) s
    WHERE a.key_id = s.key_id AND a.period = s.period
  )
  SELECT count(*) INTO v_closed FROM closed;
  RETURN v_closed;
END $$;
`;

/** Where the application has a role of its own. */
const GRANTS = `
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'latchkey_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON budget_account, budget_lease, reservation_end, rate_window TO latchkey_app;
  END IF;
END $$;
`;
