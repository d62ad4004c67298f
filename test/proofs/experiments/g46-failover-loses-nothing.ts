import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import { whyNoDebianPostgres } from '../harness/debian-postgres.js';
import type { Experiment, ExperimentContext } from '../harness/experiment.js';
import { PostgresPair } from '../harness/postgres-pair.js';
import { Spenders } from '../harness/spenders.js';

const MICRO_CENTS = 1_000_000;
const REPLICAS = 3;
const LOAD_BEFORE_MS = { ci: 6_000, full: 30_000 } as const;
const LOAD_AFTER_MS = { ci: 6_000, full: 30_000 } as const;
const ROUNDS = { ci: 1, full: 5 } as const;
/** The standby hears nothing for so long before the primary dies: nothing may be acknowledged meanwhile. */
const SILENT_MS = 400;
/** Limited keys work so long after the promotion where nothing was lost. */
const LIMITED_WITHIN_MS = 3_000;
const HABITS = { clients: 12, thinkMs: 200, repeats: 0.1, withFaults: true };
/** Is used up while the load runs. */
const BUDGET_CENTS = { ci: 400, full: 4_000 } as const;
const LEAST_CALLS = 100;
const LEAST_REVOKED = 5;

type Cluster = ProofCluster<PostgresPair>;

/**
 * A primary with a synchronous standby, under load: reservations and reports against a budget that is used up, and
 * revocations. The primary is killed, or shut down as for maintenance, and the standby takes its place.
 */
export const g46: Experiment = {
  id: 'G46',
  guarantee:
    'a failover to a synchronous standby loses nothing that was acknowledged: 0 events, 0 over a budget, 0 revoked keys alive; limited keys work ≤ 3 s after the promotion',
  inCi: true,
  fault: {
    what: 'commits do not wait for the standby',
    sql: `ALTER ROLE latchkey_app SET synchronous_commit = 'local';
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'latchkey_app'`,
  },
  run: async (context) => {
    const skipped = await whyNoDebianPostgres();
    if (skipped !== null) return { violations: [], figures: {}, skipped };
    const violations: string[] = [];
    const figures: Record<string, number> = {};
    for (let round = 0; round < ROUNDS[context.size]; round += 1) {
      for (const kind of ['kill', 'switchover'] as const) {
        const one = await failOver(context, kind);
        violations.push(...one.violations.map((violation) => `${kind} ${round}: ${violation}`));
        for (const [name, value] of Object.entries(one.figures)) {
          const key = `${kind}${name}`;
          figures[key] = name.endsWith('Ms') ? Math.max(figures[key] ?? 0, value) : (figures[key] ?? 0) + value;
        }
      }
    }
    return { violations, figures };
  },
};

async function failOver(context: ExperimentContext, kind: 'kill' | 'switchover') {
  const { size, random, log, fault } = context;
  const pair = await PostgresPair.start(true);
  const cluster: Cluster = await ProofCluster.startOn(pair, REPLICAS, {}, fault);
  try {
    const caller = await cluster.createKey({ roles: ['gateway'] });
    const key = await cluster.createKey({ budgetLimitCents: BUDGET_CENTS[size], budgetType: 'total' });
    const probe = await cluster.createKey({ budgetLimitCents: 1_000_000, budgetType: 'total' });
    const limit = BUDGET_CENTS[size] * MICRO_CENTS;
    const spenders = new Spenders(cluster, key, caller.secret, limit, random, HABITS);
    const revoking = new Revoking(cluster, caller.secret);
    const probing = new Probing(cluster, caller.secret, probe.secret);
    const load = Promise.all([spenders.spend(Number.POSITIVE_INFINITY, 600_000), revoking.run(), probing.run()]);
    await sleep(LOAD_BEFORE_MS[size]);
    const before = { calls: spenders.admitted, revoked: revoking.revoked.length };
    if (kind === 'kill') {
      await pair.cutOffStandby();
      await sleep(SILENT_MS);
      await pair.failOver();
    } else {
      await pair.switchOver();
    }
    const promotedAt = performance.now();
    log(`${kind}: promoted; ${before.calls} admitted, ${before.revoked} revoked before`);
    await sleep(LOAD_AFTER_MS[size]);
    spenders.end();
    revoking.end();
    probing.end();
    await load;
    const violations = [...spenders.violations, ...revoking.violations, ...(await bookDifferences(cluster))];
    const [row] = await pair.query<{ spent: string; reported: string }>(
      `SELECT (SELECT spent_micro_cents FROM budget_account WHERE key_id = $1 AND period = 'total')::text AS spent,
              (SELECT coalesce(sum(cost_micro_cents), 0) FROM usage_event WHERE key_id = $1)::text AS reported`,
      [key.id],
    );
    for (const [what, found] of [['charged', row!.spent], ['in the events', row!.reported]] as const) {
      const missing = spenders.acknowledged - Number(found);
      if (missing !== 0) violations.push(`${spenders.acknowledged} µ¢ were acknowledged, ${found} are ${what}`);
    }
    if (Number(row!.spent) > limit) violations.push(`overspent: ${row!.spent} of ${limit} µ¢`);
    const alive = await pair.query<{ id: string }>('SELECT id FROM api_key WHERE id = ANY($1) AND revoked_at IS NULL', [revoking.revoked.map(({ id }) => id)]);
    violations.push(...alive.map(({ id }) => `the revoked key ${id} is alive`));
    const waits = probing.firstSince(promotedAt).map((at) => Math.round(at - promotedAt));
    waits.forEach((ms, replica) => {
      if (ms > LIMITED_WITHIN_MS) violations.push(`replica ${replica}: limited keys worked ${ms} ms after the promotion`);
    });
    const output = cluster.replicas.map((replica) => replica.output.join(''));
    output.forEach((text, replica) => {
      if (text.includes('lost acknowledged')) violations.push(`replica ${replica} reports a loss: ${lineOf(text, 'lost acknowledged')}`);
      if (!text.includes('Limited keys go on')) violations.push(`replica ${replica} did not show that nothing is missing: ${lineOf(text, 'another history')}`);
    });
    if (before.calls < LEAST_CALLS || spenders.admitted - before.calls < LEAST_CALLS / 2 || spenders.refused === 0) {
      violations.push(`${before.calls} calls before, ${spenders.admitted} in all, ${spenders.refused} refused: nothing was shown`);
    }
    if (before.revoked < LEAST_REVOKED || revoking.checked < LEAST_REVOKED) violations.push(`${before.revoked} revoked: nothing was shown`);
    log(`${kind}: ${spenders.admitted} admitted, ${spenders.refused} refused, ${revoking.revoked.length} revoked; limited keys after ${waits.join(', ')} ms`);
    return {
      violations,
      figures: { Admitted: spenders.admitted, Revoked: revoking.revoked.length, RevokedKeysAsked: revoking.checked, LimitedAfterMs: Math.max(...waits) },
    };
  } finally {
    await cluster.stop();
  }
}

function lineOf(text: string, part: string): string {
  return text.split('\n').find((line) => line.includes(part))?.slice(0, 300) ?? 'no such line';
}

/** Makes keys, revokes them everywhere, and asks again and again whether one of them is accepted. */
class Revoking {
  readonly revoked: { readonly id: string; readonly secret: string }[] = [];
  readonly violations: string[] = [];
  checked = 0;
  private ended = false;

  constructor(
    private readonly cluster: Cluster,
    private readonly callerSecret: string,
  ) {}

  async run(): Promise<void> {
    await Promise.all([this.revoke(), this.check()]);
  }

  end(): void {
    this.ended = true;
  }

  private async revoke(): Promise<void> {
    for (let turn = 0; !this.ended; turn += 1) {
      const { client } = this.cluster.replica(turn);
      const token = this.cluster.adminToken;
      const made = await client.post('/api-keys', { token, body: {}, timeoutMs: 2_000 }).catch(() => null);
      if (made?.status !== 201) {
        await sleep(50);
        continue;
      }
      const key = { id: made.body.apiKey.id as string, secret: made.body.secretKey as string };
      await client.post('/verify', { apiKey: this.callerSecret, body: { key: key.secret } }).catch(() => null);
      const ended = await client.post(`/api-keys/${key.id}/revoke?wait=true`, { token, timeoutMs: 2_000 }).catch(() => null);
      // Without an answer it may be revoked or not.
      if (ended?.status === 200) this.revoked.push(key);
    }
  }

  private async check(): Promise<void> {
    for (let turn = 0; !this.ended; turn += 1) {
      await sleep(10);
      const key = this.revoked[turn % Math.max(1, this.revoked.length)];
      if (key === undefined) continue;
      const answer = await this.cluster
        .replica(turn)
        .client.post('/verify', { apiKey: this.callerSecret, body: { key: key.secret }, timeoutMs: 3_000 })
        .catch(() => null);
      if (answer?.status !== 200) continue;
      this.checked += 1;
      if (answer.body.valid !== false) this.violations.push(`the revoked key ${key.id} was accepted`);
    }
  }
}

/** Asks every replica all the time for a key with a budget. */
class Probing {
  private readonly accepted: number[][] = [];
  private ended = false;

  constructor(
    private readonly cluster: Cluster,
    private readonly callerSecret: string,
    private readonly secret: string,
  ) {}

  async run(): Promise<void> {
    await Promise.all(this.cluster.replicas.map((_, replica) => this.ask(replica, (this.accepted[replica] = []))));
  }

  end(): void {
    this.ended = true;
  }

  /** Of each replica, when the first call was accepted that was sent after `sinceMs`. */
  firstSince(sinceMs: number): number[] {
    return this.accepted.map((times) => times.find((at) => at > sinceMs) ?? Number.POSITIVE_INFINITY);
  }

  private async ask(replica: number, times: number[]): Promise<void> {
    const { client } = this.cluster.replica(replica);
    const body = { key: this.secret, reserveCents: 0.01 };
    while (!this.ended) {
      const answer = await client.post('/verify', { apiKey: this.callerSecret, body, timeoutMs: 2_000 }).catch(() => null);
      if (answer?.body.valid === true && answer.body.degraded !== true) times.push(performance.now());
      await sleep(20);
    }
  }
}
