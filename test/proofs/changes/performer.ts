import { setTimeout as sleep } from 'node:timers/promises';
import type { ProofCluster, Replica } from '../harness/cluster.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';
import type { Acknowledged, ChangeKind, Step } from './kinds.js';
import { type Cast, SCENARIOS } from './scenarios.js';

const MOST_TRIES = 200;
const RETRY_MS = 25;
const TIMEOUT_MS = 30_000;

/** Tables that changes write, without the columns that are written beside them. */
const TABLES: Readonly<Record<string, readonly string[]>> = {
  api_key: [],
  api_key_secret: [],
  users: ['notices_seen_seq'],
  user_role: [],
  user_manager: [],
  role: [],
  quota_limit: [],
  quota_limit_override: [],
  session: ['last_active_at'],
  second_factor: ['last_step', 'tried_step', 'tries'],
  recovery_code: [],
  idempotency: [],
  audit_event: [],
  change_head: [],
};

/** Makes the changes of scenarios on any replica, and remembers what became of each. */
export class Performer {
  readonly acknowledged: Acknowledged[] = [];
  /** Ids of requests that were answered by a 503 that says that nothing was changed. */
  readonly refusedIds: string[] = [];
  readonly violations: string[] = [];
  /** Requests without an answer: the change may have been made or not. */
  unanswered = 0;
  private casts = 0;

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
    private readonly adminId: string,
    private readonly otherOwnerId: string,
  ) {}

  static async prepare(cluster: ProofCluster, random: Random): Promise<Performer> {
    const { client } = cluster.replica(0);
    const me = await client.request('GET', '/api/v1/auth/me', { token: cluster.adminToken });
    const other = await client.post('/users', {
      token: cluster.adminToken,
      body: { name: 'Other', email: 'other@latchkey.test' },
    });
    if (me.status !== 200 || other.status !== 201)
      throw new Error(`The setup was answered ${me.status} and ${other.status}: ${JSON.stringify(other.body)}`);
    return new Performer(cluster, random, me.body.user.id as string, other.body.id as string);
  }

  /** How often each kind was acknowledged. */
  counts(): Map<ChangeKind, number> {
    const counts = new Map<ChangeKind, number>();
    for (const { kind } of this.acknowledged) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return counts;
  }

  /**
   * One scenario after the other, with `pause` after each change, until `isOver`. A scenario ends with the first change
   * whose outcome is unknown.
   */
  async work(from: number, isOver: () => boolean, pause: () => Promise<void>): Promise<void> {
    for (let turn = from; !isOver(); turn += 1) {
      for (const step of this.scenario(turn)) {
        if (isOver() || !(await this.perform(step))) break;
        await pause();
      }
    }
  }

  /** Each change of each scenario, first while the trail takes no entries. Gives how often each kind was refused. */
  async workRefused(): Promise<Map<ChangeKind, number>> {
    const refused = new Map<ChangeKind, number>();
    for (const turn of SCENARIOS.keys()) {
      for (const step of this.scenario(turn)) {
        if (await this.isRefused(step)) refused.set(step.kind, (refused.get(step.kind) ?? 0) + 1);
        if (!(await this.perform(step))) break;
      }
    }
    return refused;
  }

  private scenario(turn: number): readonly Step[] {
    this.casts += 1;
    const cast: Cast = {
      name: `g14-${this.casts}`,
      adminToken: this.cluster.adminToken,
      adminId: this.adminId,
      otherOwnerId: this.otherOwnerId,
    };
    return SCENARIOS[turn % SCENARIOS.length]!(cast);
  }

  /** Whether it was acknowledged. What certainly did not happen is asked for again. */
  private async perform(step: Step): Promise<boolean> {
    for (let attempt = 0; attempt < MOST_TRIES; attempt += 1) {
      const answer = await this.ask(step, this.random.pick(this.cluster.replicas));
      if (answer === 'unanswered') return false;
      if (answer !== 'not sent') {
        const { status, body } = answer;
        if (status < 300 && (step.wasDone?.(body) ?? true)) {
          this.acknowledged.push({
            kind: step.kind,
            requestId: String(answer.headers['x-request-id']),
            ...step.expected(body),
          });
          return true;
        }
        if (status === 503 && body.code === 'OUTCOME_UNKNOWN') return false;
        if (status === 503) this.refusedIds.push(String(answer.headers['x-request-id']));
        else if (status !== 429 && status !== 200)
          return this.note(`${step.kind} answered ${status}: ${JSON.stringify(body)}`);
      }
      await sleep(RETRY_MS);
    }
    return this.note(`${step.kind} was not to be done in ${MOST_TRIES} tries`);
  }

  private async ask({ request }: Step, { client }: Replica): Promise<ProofAnswer | 'unanswered' | 'not sent'> {
    const { method, path, token, body } = request();
    // From everywhere: a network may present few secrets and passwords.
    const address = `198.51.${this.random.integer(100)}.${this.random.integer(250)}`;
    try {
      return await client.request(method, `/api/v1${path}`, {
        ...(token === undefined ? {} : { token }),
        body,
        headers: { 'x-forwarded-for': address },
        timeoutMs: TIMEOUT_MS,
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return 'not sent';
      this.unanswered += 1;
      return 'unanswered';
    }
  }

  private async isRefused(step: Step): Promise<boolean> {
    // The lock waits for entries that are on their way: late ones, of refusals that were counted.
    await this.cluster.database.query(
      'BEGIN; LOCK TABLE audit_event IN EXCLUSIVE MODE; REVOKE INSERT ON audit_event FROM latchkey_app; COMMIT',
    );
    const before = await this.contents();
    const answer = await this.ask(step, this.cluster.replica(0));
    const after = await this.contents();
    await this.cluster.database.query('GRANT INSERT ON audit_event TO latchkey_app');
    const changed = [...before].filter(([table, content]) => after.get(table) !== content).map(([table]) => table);
    if (changed.length > 0)
      return this.note(`${step.kind} changed ${changed.join(', ')} although the trail took no entry`);
    if (typeof answer === 'string') return this.note(`${step.kind} had no answer while the trail took no entry`);
    if (answer.status === 503 || (answer.status === 200 && step.wasDone?.(answer.body) === false)) return true;
    return this.note(`${step.kind} answered ${answer.status} while the trail took no entry`);
  }

  /** A digest of each table that changes write. */
  private async contents(): Promise<ReadonlyMap<string, string>> {
    const digests = Object.entries(TABLES).map(
      ([table, beside]) => `SELECT '${table}' AS name, md5(coalesce(string_agg(row, ',' ORDER BY row), '')) AS digest
        FROM (SELECT (to_jsonb(t) - '{${beside.join(',')}}'::text[])::text AS row FROM ${table} AS t) AS rows`,
    );
    const rows = await this.cluster.database.query<{ name: string; digest: string }>(digests.join(' UNION ALL '));
    return new Map(rows.map(({ name, digest }) => [name, digest]));
  }

  private note(violation: string): false {
    this.violations.push(violation);
    return false;
  }
}
