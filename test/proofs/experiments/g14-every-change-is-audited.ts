import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';

const KILLS = { ci: 20, full: 100 } as const;

/**
 * Replicas are killed in the middle of changes. Afterwards the keys and the trail must tell the same story:
 * each key that exists has exactly one entry of its creation, each entry its key, each revocation its entry;
 * `seq` has no gap and the chain is whole.
 */
export const g14: Experiment = {
  id: 'G14',
  guarantee: 'every change has exactly one audit entry; no audit, no change',
  inCi: true,
  fault: { what: 'nothing yet' },
  run: async ({ size, random, log }) => {
    const cluster = await ProofCluster.start(3);
    try {
      let changing = true;
      let answered = 0;
      const worker = async (index: number) => {
        while (changing) {
          const { client } = cluster.replica(index);
          try {
            const { status, body } = await client.post('/api-keys', { token: cluster.adminToken, body: { name: `worker ${index}` } });
            if (status !== 201) continue;
            answered += 1;
            if (random.next() < 0.5) await client.post(`/api-keys/${body.apiKey.id}/revoke`, { token: cluster.adminToken });
          } catch {
            // The replica died under this call: what became of it is what the experiment looks at afterwards.
            await sleep(20);
          }
        }
      };
      const workers = Array.from({ length: 9 }, (_, index) => worker(index));
      for (let kill = 0; kill < KILLS[size]; kill += 1) {
        await sleep(100 + random.integer(200));
        const replica = random.pick(cluster.replicas);
        await replica.end('SIGKILL');
        await replica.start();
      }
      changing = false;
      await Promise.all(workers);
      log(`${answered} keys created over ${KILLS[size]} kills`);
      return { violations: await differences(cluster), floors: [floor('keys created', answered, 1)], figures: { kills: KILLS[size], keysAnswered: answered } };
    } finally {
      await cluster.stop();
    }
  },
};

async function differences({ database }: ProofCluster): Promise<string[]> {
  const checks: Record<string, string> = {
    'a key without exactly one entry of its creation': `
      SELECT k.id FROM api_key k WHERE 1 <> (SELECT count(*) FROM audit_event e
        WHERE e.resource_id = k.id::text AND e.action = 'api-keys:create' AND e.outcome = 'success')`,
    'an entry of a creation without its key': `
      SELECT e.resource_id AS id FROM audit_event e WHERE e.action = 'api-keys:create' AND e.outcome = 'success'
        AND NOT EXISTS (SELECT 1 FROM api_key k WHERE k.id::text = e.resource_id)`,
    'a revoked key without exactly one entry of it': `
      SELECT k.id FROM api_key k WHERE k.revoked_at IS NOT NULL AND 1 <> (SELECT count(*) FROM audit_event e
        WHERE e.resource_id = k.id::text AND e.action = 'api-keys:revoke' AND e.outcome = 'success')`,
    'an entry of a revocation whose key is not revoked': `
      SELECT e.resource_id AS id FROM audit_event e JOIN api_key k ON k.id::text = e.resource_id
       WHERE e.action = 'api-keys:revoke' AND e.outcome = 'success' AND k.revoked_at IS NULL`,
    'a gap in seq': `
      SELECT seq::text AS id FROM (SELECT seq, lag(seq) OVER (ORDER BY seq) AS before FROM audit_event) e WHERE seq - before <> 1`,
    'a head that is not the last entry': `
      SELECT seq::text AS id FROM change_head WHERE seq <> (SELECT max(seq) FROM audit_event)`,
  };
  const found: string[] = [];
  for (const [what, sql] of Object.entries(checks)) {
    for (const { id } of await database.query<{ id: string }>(sql)) found.push(`${what}: ${id}`);
  }
  return found;
}
