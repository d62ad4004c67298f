import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import { whyNoDebianPostgres } from '../harness/debian-postgres.js';
import type { Experiment, ExperimentContext, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
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
/** More than the load can use up. */
const BUDGET_CENTS = 1_000_000;
/** Of a small budget, and of a small rate limit, some is used before and the rest asked for after. */
const SMALL = 10;
const USED_BEFORE = 6;
const ASKED_AFTER = 20;
const SETTLING_MS = 1_500;
const LEAST_CALLS = 60;
const LEAST_REVOKED = 1;

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
    if (skipped !== null) return { skipped };
    const violations: string[] = [];
    const floors: Floor[] = [];
    let failovers = 0;
    const figures: Record<string, number> = {};
    for (let round = 0; round < ROUNDS[context.size]; round += 1) {
      for (const kind of ['kill', 'switchover'] as const) {
        const one = await failOver(context, kind);
        failovers += 1;
        floors.push(...one.floors.map((each) => ({ ...each, what: `${kind} ${round}: ${each.what}` })));
        violations.push(...one.violations.map((violation) => `${kind} ${round}: ${violation}`));
        for (const [name, value] of Object.entries(one.figures)) {
          const key = `${kind}${name}`;
          figures[key] = name.endsWith('Ms') ? Math.max(figures[key] ?? 0, value) : (figures[key] ?? 0) + value;
        }
      }
    }
    return { violations, floors: [floor('failovers', failovers, 2 * ROUNDS[context.size]), ...floors], figures };
  },
};

async function failOver(context: ExperimentContext, kind: 'kill' | 'switchover') {
  const { size, random, log, fault } = context;
  const pair = await PostgresPair.start(true);
  const cluster: Cluster = await ProofCluster.startOn(pair, REPLICAS, {}, fault);
  try {
    const caller = await cluster.createKey({ roles: ['gateway'] });
    const key = await cluster.createKey({ budgetLimitCents: BUDGET_CENTS, budgetType: 'total' });
    const probe = await cluster.createKey({ budgetLimitCents: 1_000_000, budgetType: 'total' });
    const limit = BUDGET_CENTS * MICRO_CENTS;
    const spenders = new Spenders(cluster, key, caller.secret, limit, random, HABITS);
    const revoking = new Revoking(cluster, caller.secret);
    const probing = new Probing(cluster, caller.secret, probe.secret);
    const load = Promise.all([spenders.spend(Number.POSITIVE_INFINITY, 600_000), revoking.run(), probing.run()]);
    await sleep(LOAD_BEFORE_MS[size]);
    const small = await SmallLimits.make(cluster, caller.secret);
    await small.ask(USED_BEFORE);
    await sleep(SETTLING_MS);
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
    await small.ask(ASKED_AFTER);
    spenders.end();
    revoking.end();
    probing.end();
    await load;
    const endedAt = performance.now();
    const violations = [
      ...spenders.violations,
      ...revoking.violations,
      ...small.violations(),
      ...(await bookDifferences(cluster)),
    ];
    const [row] = await pair.query<{ spent: string; reported: string }>(
      `SELECT (SELECT spent_micro_cents FROM budget_account WHERE key_id = $1 AND period = 'total')::text AS spent,
              (SELECT coalesce(sum(cost_micro_cents), 0) FROM usage_event WHERE key_id = $1)::text AS reported`,
      [key.id],
    );
    for (const [what, found] of [
      ['charged', row!.spent],
      ['in the events', row!.reported],
    ] as const) {
      const missing = spenders.acknowledged - Number(found);
      if (missing !== 0) violations.push(`${spenders.acknowledged} µ¢ were acknowledged, ${found} are ${what}`);
    }
    if (Number(row!.spent) > limit) violations.push(`overspent: ${row!.spent} of ${limit} µ¢`);
    const alive = await pair.query<{ id: string }>('SELECT id FROM api_key WHERE id = ANY($1) AND revoked_at IS NULL', [
      revoking.revoked.map(({ id }) => id),
    ]);
    violations.push(...alive.map(({ id }) => `the revoked key ${id} is alive`));
    const waits = probing.longestGaps(promotedAt, endedAt);
    waits.forEach((ms, replica) => {
      if (ms > LIMITED_WITHIN_MS)
        violations.push(`replica ${replica}: limited keys did not work for ${ms} ms after the promotion`);
    });
    const output = cluster.replicas.map((replica) => replica.output.join(''));
    output.forEach((text, replica) => {
      if (text.includes('lost acknowledged'))
        violations.push(`replica ${replica} reports a loss: ${lineOf(text, 'lost acknowledged')}`);
      if (!text.includes('Limited keys go on'))
        violations.push(`replica ${replica} did not show that nothing is missing: ${lineOf(text, 'another history')}`);
    });
    if (violations.length > 0)
      log(
        output
          .map((text) =>
            text
              .split('\n')
              .filter((line) => line.startsWith('{') || line.startsWith('STALL'))
              .slice(-12)
              .join('\n'),
          )
          .join('\n--\n'),
      );
    log(
      `${kind}: ${spenders.admitted} admitted, ${small.refused} refused, ${revoking.revoked.length} revoked; limited keys stood still for ${waits.join(', ')} ms`,
    );
    return {
      violations,
      floors: [
        floor('calls admitted before the failover', before.calls, LEAST_CALLS),
        floor('calls admitted after it', spenders.admitted - before.calls, LEAST_CALLS / 2),
        floor('keys revoked before it', before.revoked, LEAST_REVOKED),
        floor('verifies of revoked keys', revoking.checked, LEAST_REVOKED),
        ...small.floors(),
      ],
      figures: {
        Admitted: spenders.admitted,
        Revoked: revoking.revoked.length,
        RevokedKeysAsked: revoking.checked,
        LimitedStoodStillMs: Math.max(...waits),
      },
    };
  } finally {
    await cluster.stop();
  }
}

function lineOf(text: string, part: string): string {
  return (
    text
      .split('\n')
      .find((line) => line.includes(part))
      ?.slice(0, 300) ?? 'no such line'
  );
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
      const ended = await client
        .post(`/api-keys/${key.id}/revoke?wait=true`, { token, timeoutMs: 2_000 })
        .catch(() => null);
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

  /** Of each replica, the longest time after `sinceMs` in which no call was accepted. */
  longestGaps(sinceMs: number, untilMs: number): number[] {
    return this.accepted.map((times) => {
      const marks = [sinceMs, ...times.filter((at) => at > sinceMs && at < untilMs), untilMs];
      return Math.round(Math.max(...marks.slice(1).map((at, index) => at - marks[index]!)));
    });
  }

  private async ask(replica: number, times: number[]): Promise<void> {
    const { client } = this.cluster.replica(replica);
    const body = { key: this.secret, reserveCents: 0.01 };
    while (!this.ended) {
      const answer = await client
        .post('/verify', { apiKey: this.callerSecret, body, timeoutMs: 2_000 })
        .catch(() => null);
      if (answer?.body.valid === true && answer.body.degraded !== true) times.push(performance.now());
      await sleep(20);
    }
  }
}

/** A key with a small budget, and one with a small rate limit, asked for on every replica by turn. */
class SmallLimits {
  refused = 0;
  private reserved = 0;
  private counted = 0;

  private constructor(
    private readonly cluster: Cluster,
    private readonly callerSecret: string,
    private readonly budget: string,
    private readonly rate: string,
  ) {}

  static async make(cluster: Cluster, callerSecret: string): Promise<SmallLimits> {
    const budget = await cluster.createKey({ budgetLimitCents: SMALL, budgetType: 'total' });
    const rate = await cluster.createKey({ rateLimitPerDay: SMALL });
    return new SmallLimits(cluster, callerSecret, budget.secret, rate.secret);
  }

  async ask(times: number): Promise<void> {
    for (let turn = 0; turn < times; turn += 1) {
      const { client } = this.cluster.replica(turn);
      const verify = (body: object) =>
        client.post('/verify', { apiKey: this.callerSecret, body, timeoutMs: 3_000 }).catch(() => null);
      const [reserved, counted] = await Promise.all([
        verify({ key: this.budget, reserveCents: 1, reservationTtlSeconds: 300 }),
        verify({ key: this.rate }),
      ]);
      if (reserved?.body.valid === true) this.reserved += 1;
      if (counted?.body.valid === true) this.counted += 1;
      for (const answer of [reserved, counted]) if (answer?.body.valid === false) this.refused += 1;
    }
  }

  violations(): string[] {
    const found = [];
    if (this.reserved > SMALL) found.push(`${this.reserved} of ${SMALL} cents were reserved`);
    if (this.counted > SMALL) found.push(`${this.counted} calls were admitted, the limit is ${SMALL} a day`);
    return found;
  }

  floors(): Floor[] {
    return [
      floor('cents reserved of the small budget', this.reserved, USED_BEFORE),
      floor('calls admitted by the small limit', this.counted, USED_BEFORE),
      floor('calls refused by a small limit', this.refused, 1),
    ];
  }
}
