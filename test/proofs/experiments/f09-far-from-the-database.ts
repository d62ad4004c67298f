import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';

const FAR_MS = 500;
const SECONDS = { ci: 12, full: 60 } as const;
/**
 * Round trips of a create without roles, those that open a connection now and then, and a busy machine.
 */
const CREATE_WITHIN_MS = (4 + 5) * FAR_MS + 1_500;
const OTHERS_WITHIN_MS = 1_000;

/** One replica is 500 ms from PostgreSQL, the other beside it; both change keys, of owners of their own. */
export const f09: Experiment = {
  id: 'F09',
  guarantee:
    'a replica 500 ms from PostgreSQL makes a create in four round trips, and the changes of another take under 1 s',
  inCi: true,
  fault: { what: 'the head row is locked for three round trips', patch: 'commits-by-itself.mjs' },
  run: async ({ size, fault }) => {
    const cluster = await ProofCluster.start(2, {}, fault, [], {}, true);
    const violations: string[] = [];
    const ask = (replica: number, path: string, body: unknown) =>
      cluster.replica(replica).client.post(path, { token: cluster.adminToken, body, timeoutMs: 30_000 });
    try {
      const owners: string[] = [];
      for (const name of ['far', 'near'])
        owners.push(
          (await patiently(() => ask(1, '/users', { name, email: `${name}@latchkey.test` }))).body.id as string,
        );
      // Its connections are there: what is measured is a change.
      for (let index = 0; index < 3; index += 1) await patiently(() => ask(0, '/api-keys', { ownerId: owners[0] }));
      cluster.ways[0]!.setLatency(FAR_MS / 2);
      const untilMs = performance.now() + SECONDS[size] * 1_000;
      const times = { far: [] as number[], near: [] as number[] };
      const acknowledged: string[] = [];
      const make = async (name: 'far' | 'near', replica: number, ownerId: string, pauseMs: number) => {
        while (performance.now() < untilMs) {
          const began = performance.now();
          const { status, body } = await ask(replica, '/api-keys', { ownerId });
          times[name].push(performance.now() - began);
          if (status === 201) acknowledged.push(body.apiKey.id as string);
          else violations.push(`a create of the ${name} replica answered ${status} ${body?.code}`);
          await sleep(pauseMs);
        }
      };
      await Promise.all([make('far', 0, owners[0]!, 0), make('near', 1, owners[1]!, 10)]);
      const kept = await cluster.database.query('SELECT 1 FROM api_key WHERE id = ANY($1)', [acknowledged]);
      if (kept.length !== acknowledged.length)
        violations.push(`${acknowledged.length} keys were acknowledged, ${kept.length} are there`);
      const slowest = { far: Math.round(Math.max(...times.far)), near: Math.round(Math.max(...times.near)) };
      violations.push(...tooSlow(slowest));
      const floors = [
        floor('creates from afar', times.far.length, 3),
        floor('creates beside PostgreSQL', times.near.length, 20),
      ] as const;
      return {
        violations,
        floors,
        figures: {
          ...{ farCreates: times.far.length, nearCreates: times.near.length },
          ...{ slowestFarMs: slowest.far, slowestNearMs: slowest.near },
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

function tooSlow({ far, near }: { readonly far: number; readonly near: number }): string[] {
  return [
    ...(far > CREATE_WITHIN_MS ? [`a create of the far replica took ${far} ms`] : []),
    ...(near > OTHERS_WITHIN_MS ? [`a create of the near replica took ${near} ms`] : []),
  ];
}
