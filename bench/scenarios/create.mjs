/** Creating a key by HTTP, in turn with the least that PostgreSQL can be asked to keep: one row, committed. */
import pg from 'pg';
import { percentile } from '../report.mjs';

export const title = 'create a key';

const ASKED = 300;
const RUN_UP = 50;

export async function* run(bench) {
  const { latchkey } = bench;
  const client = new pg.Client({ connectionString: latchkey.postgres.ownerUrl });
  await client.connect();
  const [createdMs, committedMs] = [[], []];
  try {
    await client.query('CREATE TABLE bare_commit (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz)');
    // An owner without keys: each create counts the owner's, and those of the other scenarios belong to the admin.
    const { id: ownerId } = await latchkey.call('/users', { name: 'Bench', kind: 'service', maxActiveKeys: 1_000 });
    for (let asked = 0; asked < RUN_UP + ASKED; asked += 1) {
      const created = await timed(() => latchkey.call('/api-keys', { name: `bench ${asked}`, ownerId }));
      const committed = await timed(() => client.query('INSERT INTO bare_commit (at) VALUES (now())'));
      if (asked < RUN_UP) continue;
      createdMs.push(created);
      committedMs.push(committed);
    }
    await client.query('DROP TABLE bare_commit');
  } finally {
    await client.end();
  }
  const [created, committed] = [percentile(createdMs, 0.5), percentile(committedMs, 0.5)];
  yield {
    figure: 'create a key, p50, against a bare commit of the same run',
    value: bench.round(created / committed),
    unit: '× a commit',
    reach: '≤ 3',
    detail: `p50 ${bench.round(created)} ms of ${bench.round(committed)} ms; p99 ${bench.round(percentile(createdMs, 0.99))} ms of ${bench.round(percentile(committedMs, 0.99))} ms`,
  };
}

async function timed(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
