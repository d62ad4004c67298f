import { Client } from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROW_EDITS } from '../../support/row-edits.js';
import { ProofCluster, modulesOf, patiently } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

/** Rows of each kind; of every two, one is edited. */
const ROWS = {
  ci: { api_key: 160, users: 60, role: 20, project: 20, quota_limit: 20 },
  full: { api_key: 1_400, users: 400, role: 200, project: 100, quota_limit: 100 },
} as const;
type Table = keyof (typeof ROWS)['ci'];

const TYPES: Record<Table, string> = {
  ...{ api_key: 'api-key', users: 'user', role: 'role', project: 'project', quota_limit: 'limit' },
};
/** A line of the doctor that names a row. */
const NAMED = /^ {6}((?:api-key|user|role|project|limit) \S+): /gm;
/** What needs another row, or makes another one differ. */
const NOT_HERE = new Set([
  'api_key.owner_id',
  'api_key.alias',
  'users.email',
  'users.oidc_issuer',
  'users.oidc_subject',
  'project.alias',
  'quota_limit.alias',
]);
/** What the guarantee allows a running server. */
const TOLD_WITHIN_MS = 600_000;
const LOOK_EVERY_MS = 500;
const AT_ONCE = 8;
const METRICS_TOKEN = 'a-token-of-this-experiment-0123456789';

/**
 * As the role `latchkey_app`, one random field of every other row is edited. The doctor must name each of them and no
 * other, and a server must tell of as many by itself.
 */
export const g15: Experiment = {
  id: 'G15',
  guarantee:
    'edits of keys, users, roles, projects and limits past Latchkey are found: the doctor names 1 000 of 1 000 edited rows and no other, a running server tells within 10 minutes',
  inCi: true,
  fault: { what: 'rows are compared with nothing', patch: 'compares-no-fields.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(1, { METRICS_TOKEN }, fault);
    const writer = new Client({ connectionString: cluster.database.appUrl });
    // The doctor is a process of its own, and as broken as the servers.
    const broken: Record<string, string> =
      fault === undefined
        ? {}
        : {
            NODE_OPTIONS: modulesOf(fault)
              .map((url) => `--import=${url}`)
              .join(' '),
          };
    try {
      await writer.connect();
      const ids = await makeRows(cluster, ROWS[size]);
      const all = Object.values(ids).flat().length;
      const violations: string[] = [];
      const before = await cluster.doctor(broken);
      if (before.exitCode !== 0)
        violations.push(`before any edit the doctor ended with ${before.exitCode}: ${before.report}`);
      const edited = new Map<string, string>();
      for (const [table, rows] of Object.entries(ids) as [Table, string[]][]) {
        for (const id of rows.filter((_, index) => index % 2 === 0))
          edited.set(`${TYPES[table]} ${id}`, await edit(writer, random, table, id));
      }
      const { exitCode, report } = await cluster.doctor(broken);
      const named = new Set([...report.matchAll(NAMED)].map(([, name]) => name!));
      const missed = [...edited].filter(([name]) => !named.has(name));
      const wrong = [...named].filter((name) => !edited.has(name));
      if (exitCode !== 1) violations.push(`the doctor ended with ${exitCode}`);
      violations.push(...missed.slice(0, 20).map(([name, column]) => `${name}: an edit of ${column} was not found`));
      violations.push(...wrong.slice(0, 20).map((name) => `${name} was not edited, and is named`));
      log(`${edited.size} rows edited, ${named.size} named`);
      if (violations.length > 0)
        return {
          violations,
          floors: [floor('rows edited', edited.size, all / 2)],
          figures: { edited: edited.size, missed: missed.length, wrong: wrong.length, toldAfterSeconds: 0 },
        };
      const toldAfterMs = await toldBy(cluster, edited.size);
      if (toldAfterMs === null) violations.push('no server told of all edits within 10 minutes');
      return {
        violations,
        floors: [floor('rows edited', edited.size, all / 2), floor('rows left alone', all - edited.size, 1)],
        figures: { edited: edited.size, missed: 0, wrong: 0, toldAfterSeconds: Math.round((toldAfterMs ?? 0) / 1000) },
      };
    } finally {
      await writer.end().catch(() => undefined);
      await cluster.stop();
    }
  },
};

/** Milliseconds until a server that has just started counts all of them; null: it did not. */
async function toldBy(cluster: ProofCluster, count: number): Promise<number | null> {
  const [replica] = cluster.replicas;
  await replica!.end('SIGTERM');
  await replica!.start();
  for (
    const startedMs = performance.now();
    performance.now() - startedMs < TOLD_WITHIN_MS;
    await sleep(LOOK_EVERY_MS)
  ) {
    const { body, status } = await replica!.client.request('GET', '/health/ready', {});
    const isDown = status === 200 && body.details?.tables?.status === 'degraded';
    const metrics = await replica!.client.request('GET', '/metrics', { token: METRICS_TOKEN });
    const told = Number(/^latchkey_table_differences (\d+)$/m.exec(String(metrics.body))?.[1] ?? 0);
    if (isDown && told >= count) return performance.now() - startedMs;
  }
  return null;
}

/** Edits one field, and gives which. */
async function edit(writer: Client, random: Random, table: Table, id: string): Promise<string> {
  const columns = Object.keys(ROW_EDITS).filter((column) => column.startsWith(`${table}.`) && !NOT_HERE.has(column));
  const column = random.pick(columns);
  const { rowCount } = await writer.query(
    `UPDATE ${table} SET ${column.slice(table.length + 1)} = ${ROW_EDITS[column]!} WHERE ${table === 'role' ? 'name' : 'id'} = $1`,
    [id],
  );
  if (rowCount !== 1) throw new Error(`${column} of ${id} was not edited.`);
  return column;
}

async function makeRows(cluster: ProofCluster, counts: (typeof ROWS)['ci' | 'full']): Promise<Record<Table, string[]>> {
  const post = async (path: string, body: object) => {
    const { status, body: answer } = await patiently(() =>
      cluster.replica(0).client.post(path, { token: cluster.adminToken, body }),
    );
    if (status !== 201) throw new Error(`${path} answered ${status}: ${JSON.stringify(answer)}`);
    return answer as { id: string; name: string; apiKey: { id: string } };
  };
  const limits = {
    allowedIps: ['192.0.2.0/24'],
    allowedModels: ['m'],
    allowedChatbots: ['c'],
    expiresAt: '2999-01-01T00:00:00Z',
    budgetLimitCents: 5,
    budgetType: 'total',
  };
  const project = await several(counts.project, async (n) => (await post('/projects', { name: `Project ${n}` })).id);
  const month = { amountCents: 1000, per: 'month', each: 'owner' };
  return {
    project,
    // Each on a project of its own: a target has at most four.
    quota_limit: await several(
      counts.quota_limit,
      async (n) =>
        (await post('/limits', { name: `Limit ${n}`, ...month, target: { kind: 'project', id: project[n] } })).id,
    ),
    role: await several(
      counts.role,
      async (n) => (await post('/roles', { name: `role-${n}`, description: 'one' })).name,
    ),
    users: await several(
      counts.users,
      async (n) =>
        (
          await post('/users', {
            name: `User ${n}`,
            email: `user-${n}@latchkey.test`,
            password: `password of ${n}, long`,
          })
        ).id,
    ),
    api_key: await several(
      counts.api_key,
      async (n) => (await post('/api-keys', { name: `Key ${n}`, ...limits, metadata: { a: 'b' } })).apiKey.id,
    ),
  };
}

async function several(count: number, make: (n: number) => Promise<string>): Promise<string[]> {
  const made: string[] = [];
  for (let from = 0; from < count; from += AT_ONCE) {
    made.push(
      ...(await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, index) => make(from + index)))),
    );
  }
  return made;
}
