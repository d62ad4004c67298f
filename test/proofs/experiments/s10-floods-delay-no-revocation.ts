import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN, patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';

/** What each person of the experiment chooses. */
const OWN_PASSWORD = 'seven slow barges at dusk';
const REVOCATIONS = { ci: 40, full: 600 } as const;
/** Connections of each flood. */
const READERS = 64;
const CREATORS = 64;
/** After a 429, which asks for a second or more. With less, the floods would take the processor from the server. */
const IMPATIENCE_MS = 500;
const PAUSE_MS = 40;
/** Order, not speed: the floods share two cores with the server. */
const MOST_TIMES_QUIET = 4;
const LEAST_BOUND_MS = 60;
/** Answers of each flood without which nothing was shown. */
const FLOOR = 300;

interface Flood {
  accepted: number;
  throttled: number;
  failed: number;
}

/**
 * A person without permissions reads in a loop, and a creator creates and revokes in a loop, each over many connections
 * and without a pause. Meanwhile the admin revokes keys, and another person reads now and then. The flooded replica has
 * the rate that it has by default.
 */
export const s10: Experiment = {
  id: 'S10',
  guarantee:
    'a revocation is never behind a flood: the p50 of an admin stays within 4 times the quiet one; equal reads are counted; reads of others are recorded',
  inCi: true,
  fault: { what: 'requests of one principal are neither counted nor take turns', patch: 'admits-any-flood.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(1, { MANAGEMENT_RATE_PER_MINUTE: '1200' }, fault);
    try {
      const { client } = cluster.replica(0);
      const admin = cluster.adminToken;
      const violations: string[] = [];
      const [reader, creator, other] = await Promise.all([
        person(cluster, 'reader', []),
        person(cluster, 'creator', ['creator']),
        person(cluster, 'other', []),
      ]);

      const revocations = async (): Promise<number[]> => {
        const took: number[] = [];
        for (let n = 0; n < REVOCATIONS[size]; n += 1) {
          const { id } = await cluster.createKey();
          const start = performance.now();
          const { status } = await client.post(`/api-keys/${id}/revoke`, { token: admin, body: {} });
          took.push(performance.now() - start);
          if (status !== 200) violations.push(`a revocation answered ${status}`);
          await sleep(PAUSE_MS);
        }
        return took;
      };
      const quietBefore = quantile(await revocations(), 0.5);

      let isFlooding = true;
      const reads: Flood = { accepted: 0, throttled: 0, failed: 0 };
      const creations: Flood = { accepted: 0, throttled: 0, failed: 0 };
      const count = async (flood: Flood, status: number): Promise<void> => {
        if (status < 300) flood.accepted += 1;
        else if (status !== 429) flood.failed += 1;
        else {
          flood.throttled += 1;
          await sleep(IMPATIENCE_MS);
        }
      };
      const read = async (): Promise<void> => {
        while (isFlooding)
          await count(
            reads,
            (await client.request('GET', '/api/v1/api-keys?size=100', { token: reader.token })).status,
          );
      };
      const create = async (): Promise<void> => {
        while (isFlooding) {
          const { status, body } = await client.post('/api-keys', { token: creator.token, body: {} });
          await count(creations, status);
          if (status === 201)
            await count(
              creations,
              (await client.post(`/api-keys/${body.apiKey.id}/revoke`, { token: creator.token, body: {} })).status,
            );
        }
      };
      const floods = [...Array.from({ length: READERS }, read), ...Array.from({ length: CREATORS }, create)];
      const answers = ({ accepted, throttled }: Flood): number => accepted + throttled;
      while (answers(reads) < FLOOR || answers(creations) < FLOOR) await sleep(20);
      const flooded = revocations();
      let othersReads = 0;
      for (let isOver = false; !isOver; othersReads += 1) {
        const path = `/api/v1/api-keys?search=word${othersReads}`;
        const { status } = await client.request('GET', path, { token: other.token });
        if (status !== 200) violations.push(`a read of another person answered ${status}`);
        isOver = await Promise.race([flooded.then(() => true), sleep(200, false)]);
      }
      const floodP50 = quantile(await flooded, 0.5);
      isFlooding = false;
      await Promise.all(floods);
      const quiet = Math.max(quietBefore, quantile(await revocations(), 0.5));

      const bound = Math.max(MOST_TIMES_QUIET * quiet, LEAST_BOUND_MS);
      if (floodP50 > bound)
        violations.push(`the p50 of a revocation is ${floodP50} ms in the flood, ${quiet} ms when quiet`);
      if (reads.failed + creations.failed > 0)
        violations.push(`${reads.failed + creations.failed} answers of the floods were neither accepted nor 429`);
      violations.push(...(await trailProblems(cluster, reader.id, other.id, reads)));
      log(
        `revoke p50 ${quiet} ms quiet, ${floodP50} ms in the flood; reads ${JSON.stringify(reads)}, creations ${JSON.stringify(creations)}`,
      );
      return {
        violations: [...new Set(violations)],
        floors: [
          floor('reads answered', answers(reads), FLOOR),
          floor('reads accepted', reads.accepted, 1),
          floor('creations answered', answers(creations), FLOOR),
          floor('creations accepted', creations.accepted, 1),
          floor('requests answered 429', reads.throttled + creations.throttled, 1),
          floor('reads of another person', othersReads, 1),
        ],
        figures: {
          quietP50Ms: quiet,
          floodP50Ms: floodP50,
          reads: reads.accepted,
          readsThrottled: reads.throttled,
          creations: creations.accepted,
          creationsThrottled: creations.throttled,
          othersReads,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

async function trailProblems(
  cluster: ProofCluster,
  readerId: string,
  otherId: string,
  reads: Flood,
): Promise<string[]> {
  const problems: string[] = [];
  const rows = await cluster.database.query<{ actor_id: string; rows: number }>(
    'SELECT actor_id, count(*)::int AS rows FROM audit_read WHERE actor_id = ANY($1) GROUP BY 1',
    [[readerId, otherId]],
  );
  const rowsOf = (id: string): number => rows.find(({ actor_id }) => actor_id === id)?.rows ?? 0;
  if (rowsOf(readerId) * 20 > reads.accepted)
    problems.push(`${reads.accepted} equal reads are ${rowsOf(readerId)} entries`);
  if (rowsOf(readerId) === 0) problems.push('the reads of the flood are in no entry');
  if (rowsOf(otherId) === 0) problems.push('the reads of another person are in no entry');
  const [chained] = await cluster.database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM audit_event WHERE action = 'api-keys:read' AND outcome = 'success'`,
  );
  if (chained!.count > 0) problems.push(`${chained!.count} reads are in the chain of the changes`);
  const { body } = await cluster.replica(0).client.post('/audit-events/verify', { token: cluster.adminToken });
  if (body.ok !== true) problems.push(`the trail is broken: ${JSON.stringify(body)}`);
  if (!(body.checkedReads > 0)) problems.push('no read was checked');
  return problems;
}

async function person(
  cluster: ProofCluster,
  name: string,
  roles: readonly string[],
): Promise<{ id: string; token: string }> {
  const { client } = cluster.replica(0);
  const email = `${name}@latchkey.test`;
  const created = await patiently(() =>
    client.post('/users', { token: cluster.adminToken, body: { email, name, password: ADMIN.password, roles } }),
  );
  if (created.status !== 201) throw new Error(`a user was answered ${created.status}: ${JSON.stringify(created.body)}`);
  const signedIn = await patiently(() => client.post('/auth/login', { body: { email, password: ADMIN.password } }));
  const [id, token] = [created.body.id as string, signedIn.body.accessToken as string];
  // A password that another person chose opens a session that can do nothing but change it.
  const own = { password: OWN_PASSWORD, currentPassword: ADMIN.password };
  const chosen = await patiently(() => client.request('PUT', `/api/v1/users/${id}/password`, { token, body: own }));
  if (chosen.status !== 204)
    throw new Error(`a new password was answered ${chosen.status}: ${JSON.stringify(chosen.body)}`);
  return { id, token };
}
