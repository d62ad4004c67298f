import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster } from '../harness/cluster.js';
import { whyNoDebianPostgres } from '../harness/debian-postgres.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import { PostgresPair } from '../harness/postgres-pair.js';

const REPLICAS = 2;
/** From the promotion on: until a revocation that was lost counts again on every replica. */
const REVOKED_WITHIN_MS = 6_000;
/** From the promotion on: until limited keys work, though something was lost. */
const LIMITED_WITHIN_MS = 12_000;
const LOOK_EVERY_MS = 50;
const SETTLING_MS = 1_500;

type Cluster = ProofCluster<PostgresPair>;

/**
 * An asynchronous standby is promoted that has not heard of what was acknowledged last: keys revoked, deleted, switched
 * off and regenerated, a user switched off. It is noticed, told, and ended again; what an admin decides afterwards
 * stays.
 */
export const f03: Experiment = {
  id: 'F03',
  guarantee:
    'a failover that loses acknowledged changes is noticed: they are named in the log, the trail and the doctor, and what they had ended is ended again within 6 s',
  inCi: true,
  fault: { what: 'no change is remembered', patch: 'forgets-history.mjs' },
  run: async ({ log, fault }): Promise<Outcome> => {
    const skipped = await whyNoDebianPostgres();
    if (skipped !== null) return { skipped };
    const pair = await PostgresPair.start(false);
    const cluster: Cluster = await ProofCluster.startOn(pair, REPLICAS, {}, fault);
    const violations: string[] = [];
    try {
      const warnings = cluster.replicas.map(({ output }) => output.join('').includes('commits do not wait for it'));
      if (warnings.includes(false))
        violations.push('a replica did not warn at its start of a standby that is asynchronous');
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const limited = await cluster.createKey({ budgetLimitCents: 1_000 });
      const ended = await endings(cluster);
      for (const { name, secret } of ended) {
        for (let replica = 0; replica < REPLICAS; replica += 1) {
          if (!(await isAccepted(cluster, replica, caller.secret, secret)))
            violations.push(`${name}: refused before anything was changed`);
        }
      }
      await sleep(SETTLING_MS);

      await pair.cutOffStandby();
      for (const { name, end } of ended) {
        const { status, body } = await end();
        if (status >= 300) violations.push(`${name} answered ${status}: ${JSON.stringify(body)}`);
      }
      for (const { name, secret } of ended) {
        if (await isAccepted(cluster, 0, caller.secret, secret))
          violations.push(`${name}: still accepted after ?wait=true`);
      }
      await sleep(SETTLING_MS);
      await pair.failOver();
      const promotedAt = performance.now();

      const againMs = await untilEnded(cluster, caller.secret, ended, promotedAt);
      for (const [name, ms] of Object.entries(againMs))
        if (ms > REVOKED_WITHIN_MS) violations.push(`${name}: accepted ${ms} ms after the promotion`);
      const limitedMs = await untilLimited(cluster, caller.secret, limited.secret, promotedAt);
      if (limitedMs > LIMITED_WITHIN_MS) violations.push(`limited keys worked ${limitedMs} ms after the promotion`);
      for (const { name, output } of cluster.replicas) {
        const line = output
          .join('')
          .split('\n')
          .find((one) => one.includes('lost acknowledged work'));
        if (line === undefined || !line.includes('api-keys:revoke'))
          violations.push(`${name} did not name what was lost: ${line ?? 'no such line'}`);
      }
      const entries = await pair.query<{ details: { lostChanges?: number } }>(
        `SELECT details FROM audit_event WHERE action = 'system:history-lost' AND details ? 'history'`,
      );
      const lostChanges = entries[0]?.details.lostChanges ?? 0;
      if (entries.length === 0) violations.push('the trail does not say that changes were lost');
      const twice = await pair.query<{ id: string }>(
        `SELECT resource_id AS id FROM audit_event WHERE details ? 'lostSeq' GROUP BY resource_id, action HAVING count(*) > 1`,
      );
      violations.push(...twice.map(({ id }) => `${id} was ended again twice`));
      const { exitCode, report } = await cluster.doctor();
      if (exitCode !== 1 || !report.includes('DIFF  failovers have lost no change'))
        violations.push(`the doctor ended with ${exitCode}: ${report}`);
      if (!report.includes('The audit trail is whole')) violations.push('the trail is not whole');
      const health = await cluster.replica(0).client.request('GET', '/health/ready', {});
      const { history } = (health.body.details ?? {}) as { history?: { reason?: string } };
      if (health.status !== 200 || !/lost [1-9]\d* acknowledged changes/.test(history?.reason ?? ''))
        violations.push(`/health/ready says ${JSON.stringify(health.body)}`);
      const slowest = Math.max(...Object.values(againMs));
      log(
        `ended again after ${slowest} ms; limited keys after ${limitedMs} ms; ${entries.length} entries in the trail`,
      );
      return {
        violations,
        floors: [
          floor('changes acknowledged that the standby lacks', lostChanges, ended.length),
          floor('credentials that were asked for after the promotion', Object.keys(againMs).length, ended.length),
          floor('entries of the trail that tell of the loss', entries.length, 1),
        ],
        figures: {
          endedAgainMaxMs: slowest,
          limitedAfterMs: limitedMs,
          entries: entries.length,
          lostChanges,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

interface Ending {
  readonly name: string;
  readonly secret: string;
  readonly end: () => Promise<ProofAnswer>;
}

/** Keys that work, and what will end each. */
async function endings(cluster: Cluster): Promise<Ending[]> {
  const { client } = cluster.replica(0);
  const token = cluster.adminToken;
  const manage = (method: string, path: string, body?: object) =>
    client.request(method, `/api/v1${path}`, { token, ...(body ? { body } : {}) });
  const user = await manage('POST', '/users', {
    email: 'owner@latchkey.test',
    name: 'Owner',
    password: 'a password for proofs',
  });
  const keys = await Promise.all(['revoke', 'delete', 'deactivate', 'regenerate'].map(() => cluster.createKey()));
  const owned = await cluster.createKey({ ownerId: user.body.id as string });
  const [revoked, deleted, inactive, replaced] = keys as [typeof owned, typeof owned, typeof owned, typeof owned];
  return [
    {
      name: 'a revoked key',
      secret: revoked.secret,
      end: () => manage('POST', `/api-keys/${revoked.id}/revoke?wait=true`),
    },
    {
      name: 'a deleted key',
      secret: deleted.secret,
      end: () => manage('DELETE', `/api-keys/${deleted.id}/permanent?wait=true`),
    },
    {
      name: 'a key that is off',
      secret: inactive.secret,
      end: () => manage('POST', `/api-keys/${inactive.id}/deactivate?wait=true`),
    },
    {
      name: 'a replaced secret',
      secret: replaced.secret,
      end: () => manage('POST', `/api-keys/${replaced.id}/regenerate?wait=true`, {}),
    },
    {
      name: 'the key of a user who is off',
      secret: owned.secret,
      end: () => manage('PATCH', `/users/${user.body.id as string}?wait=true`, { isActive: false }),
    },
  ];
}

async function isAccepted(cluster: Cluster, replica: number, callerSecret: string, key: string): Promise<boolean> {
  const request = { apiKey: callerSecret, body: { key }, timeoutMs: 3_000 };
  const answer = await cluster
    .replica(replica)
    .client.post('/verify', request)
    .catch(() => null);
  return answer?.body.valid === true;
}

/** Of each ending, when it was accepted last, in milliseconds after the promotion; 0: never again. */
async function untilEnded(
  cluster: Cluster,
  callerSecret: string,
  ended: readonly Ending[],
  sinceMs: number,
): Promise<Record<string, number>> {
  const last: Record<string, number> = Object.fromEntries(ended.map(({ name }) => [name, 0]));
  while (performance.now() < sinceMs + REVOKED_WITHIN_MS + 2_000) {
    for (const { name, secret } of ended) {
      for (let replica = 0; replica < REPLICAS; replica += 1) {
        const sentAt = performance.now();
        if (await isAccepted(cluster, replica, callerSecret, secret)) last[name] = Math.round(sentAt - sinceMs);
      }
    }
    await sleep(LOOK_EVERY_MS);
  }
  return last;
}

async function untilLimited(cluster: Cluster, callerSecret: string, key: string, sinceMs: number): Promise<number> {
  for (; performance.now() < sinceMs + 2 * LIMITED_WITHIN_MS; await sleep(LOOK_EVERY_MS)) {
    const body = { key, reserveCents: 1 };
    const answers = await Promise.all(
      cluster.replicas.map(({ client }) =>
        client.post('/verify', { apiKey: callerSecret, body, timeoutMs: 3_000 }).catch(() => null),
      ),
    );
    if (answers.every((answer) => answer?.body.valid === true)) return Math.round(performance.now() - sinceMs);
  }
  return Number.POSITIVE_INFINITY;
}
