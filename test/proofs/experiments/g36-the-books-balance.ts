import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { Spenders } from '../harness/spenders.js';

const CALLS = { ci: 1_500, full: 50_000 } as const;
const MICRO_CENTS = 1_000_000;
const MOST_MS = 600_000;
/** One book at a time is falsified, and put right again. */
const FALSIFIED = [
  {
    what: 'a total of a key',
    check: 'totals of keys',
    sql: (sign: string) => `UPDATE key_totals SET cost_micro_cents = cost_micro_cents ${sign} 1 WHERE key_id = $1`,
  },
  {
    what: 'an hour of a key',
    check: 'hourly rollups',
    sql: (sign: string) => `UPDATE usage_rollup_hour SET requests = requests ${sign} 1 WHERE key_id = $1`,
  },
  {
    what: 'what an account has spent',
    check: 'spent of accounts',
    sql: (sign: string) =>
      `UPDATE budget_account SET spent_micro_cents = spent_micro_cents ${sign} 1 WHERE key_id = $1`,
  },
] as const;

const ROUNDS_UP = `
  CREATE FUNCTION round_up() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    NEW.cost_micro_cents := NEW.cost_micro_cents + 1;
    RETURN NEW;
  END $$;
  CREATE TRIGGER round_up BEFORE UPDATE ON key_totals FOR EACH ROW EXECUTE FUNCTION round_up()`;

/**
 * Random traffic of every kind; the doctor finds nothing while servers run, and finds one micro-cent that is not right.
 */
export const g36: Experiment = {
  id: 'G36',
  guarantee: 'the books always balance: the doctor finds nothing after random traffic, and any book that is off by one',
  inCi: true,
  fault: { what: 'the totals of a key grow by a micro-cent too much', sql: ROUNDS_UP },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(2, {}, fault);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const limit = CALLS[size] * 300_000;
      const key = await cluster.createKey({ budgetLimitCents: limit / MICRO_CENTS });
      const spenders = new Spenders(cluster, key, caller.secret, limit, random, {
        clients: 24,
        thinkMs: 20,
        repeats: 0.2,
        withFaults: false,
      });
      spenders.mayForget = true;
      const spending = spenders.spend(CALLS[size], MOST_MS);
      // Each check is one snapshot: traffic beside it must not look like a difference.
      const beside = await cluster.doctor();
      await spending;
      const after = await cluster.doctor();
      log(`${spenders.calls} calls, ${spenders.admitted} admitted\n${after.report.trimEnd()}`);
      const violations = [...spenders.violations];
      if (beside.exitCode !== 0)
        violations.push(`beside traffic the doctor ended with ${beside.exitCode}: ${beside.report}`);
      if (after.exitCode !== 0)
        violations.push(`after traffic the doctor ended with ${after.exitCode}: ${after.report}`);
      let named = 0;
      for (const { what, check, sql } of FALSIFIED) {
        await cluster.database.query(sql('+'), [key.id]);
        const { exitCode, report } = await cluster.doctor();
        if (exitCode === 1 && report.includes(`DIFF  ${check}`)) named += 1;
        else violations.push(`${what} is off by one, and the doctor ended with ${exitCode}: ${report}`);
        await cluster.database.query(sql('-'), [key.id]);
      }
      const { calls, admitted, forgotten, released } = spenders;
      const floors = [
        floor('calls admitted', admitted, CALLS[size] / 4),
        floor('calls settled, in micro-cents', spenders.acknowledged, 1),
        floor('reservations released', released, 1),
        floor('reservations forgotten', forgotten, 1),
        floor('falsified books that the doctor named', named, FALSIFIED.length),
      ] as const;
      return { violations, floors, figures: { calls, admitted, forgotten, released, falsified: FALSIFIED.length } };
    } finally {
      await cluster.stop();
    }
  },
};
