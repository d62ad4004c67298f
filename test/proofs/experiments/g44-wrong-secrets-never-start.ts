import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { SECRET_NAMES, type SecretName } from '../../../src/config/generated-secrets.js';
import { Balancer } from '../harness/balancer.js';
import { ADMIN, ProofCluster, type Replica } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { Load } from './g30-clean-shutdown.js';

const KEYS = 4;
/** Enough that every replica has requests in flight whenever one ends. */
const CLIENTS = 6;
/** In CI all five are changed at a time; at full size each by itself, then all again. */
const CHANGES: Record<'ci' | 'full', readonly (readonly SecretName[])[]> = {
  ci: [SECRET_NAMES],
  full: [...SECRET_NAMES.map((name) => [name]), SECRET_NAMES],
};
const MIN_ANSWERED = 300;
const MIN_SETTLED = 50;
/** What a refused start must leave as it was. */
const WRITTEN = `SELECT (SELECT seq::text FROM change_head) AS head, (SELECT count(*)::int FROM audit_event) AS entries, (SELECT count(*)::int FROM secret_fingerprint) AS fingerprints,
  (SELECT count(*)::int FROM api_key) AS keys, (SELECT count(*)::int FROM users) AS users, (SELECT count(*)::int FROM role) AS roles, (SELECT count(*)::int FROM audit_key_change) AS "keyChanges"`;

const draw = () => randomBytes(32).toString('base64url');
type Settings = Readonly<Record<string, string>>;

/**
 * First, processes with other secrets than the database's are started beside replicas that run, on a copy of the
 * database, and on a copy of an embedded one without its secrets. Then secrets are changed, step by step, replica by
 * replica, under load.
 */
export const g44: Experiment = {
  id: 'G44',
  guarantee:
    'wrong secrets never start: refused at boot naming the variable, nothing written, the doctor says so too; a rolling change of each under load: 0 failed verifies, 0 settles lost',
  inCi: true,
  fault: { what: 'a start does not compare fingerprints', patch: 'takes-any-secrets.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    const violations: string[] = [];
    try {
      const keys = await Promise.all(
        Array.from({ length: KEYS }, () => cluster.createKey({ budgetLimitCents: 1_000_000 })),
      );
      const secrets = keys.map(({ secret }) => secret);
      const third = cluster.replica(2);
      await third.end('SIGTERM');
      let refused = await refuseEach(cluster, violations);
      log(`${refused} starts with wrong secrets beside two replicas`);
      await third.start();
      if (violations.length > 0)
        return {
          violations,
          floors: [floor('starts refused', refused, SECRET_NAMES.length + 1)],
          figures: { refused },
        };

      const load = await changeUnderLoad(cluster, CHANGES[size], secrets, violations, log);
      await checkAfterwards(cluster, load, secrets, violations);
      await Promise.all(cluster.replicas.map((replica) => replica.end('SIGTERM')));
      refused += await refuseAfterRestore(cluster, load.settings, violations);
      refused += await refuseEmbedded(violations);
      const { settings: _, ...figures } = load;
      const floors = [
        // Each secret and all of them, a restored copy, an embedded database.
        floor('starts refused', refused, SECRET_NAMES.length + 3),
        floor('restarts under load', load.restarts, 2 * cluster.replicas.length * CHANGES[size].length),
        floor('requests answered', load.answered, MIN_ANSWERED),
        floor('reservations settled', load.settled, MIN_SETTLED),
      ] as const;
      return { violations, floors, figures: { refused, ...figures } };
    } finally {
      await cluster.stop();
    }
  },
};

/** Each secret replaced, and all of them; gives how many starts were refused as they must be. */
async function refuseEach(cluster: ProofCluster, violations: string[]): Promise<number> {
  const wrong = [...SECRET_NAMES.map((name) => [name]), [...SECRET_NAMES]];
  let refused = 0;
  for (const names of wrong) {
    const settings = Object.fromEntries(names.map((name) => [name, `1:${draw()}`]));
    const [isRefused, doctor] = await Promise.all([
      isRefusedWith(cluster, settings, names, violations),
      cluster.doctor(settings),
    ]);
    if (isRefused) refused += 1;
    const line = /^DIFF {2}every secret is the one this database was made with\n(.*)$/m.exec(doctor.report)?.[1] ?? '';
    const unnamed = names.filter((name) => !line.includes(`${name} version 1`));
    if (doctor.exitCode !== 1 || unnamed.length > 0)
      violations.push(
        `the doctor ended with ${doctor.exitCode} and did not name ${unnamed.join(', ')}: ${doctor.report.slice(0, 300)}`,
      );
  }
  return refused;
}

async function isRefusedWith(
  cluster: ProofCluster,
  settings: Settings,
  names: readonly string[],
  violations: string[],
): Promise<boolean> {
  const before = JSON.stringify(await cluster.database.query(WRITTEN));
  const spare = await cluster.spare(`a start with another ${names.join(', ')}`, settings);
  const found = await problemsOf(spare, names, Object.values(settings));
  const after = JSON.stringify(await cluster.database.query(WRITTEN));
  if (after !== before) found.push(`${spare.name} wrote: ${before} became ${after}`);
  violations.push(...found);
  return found.length === 0;
}

/** What is wrong with how a process is refused; empty: nothing. */
async function problemsOf(spare: Replica, names: readonly string[], values: readonly string[]): Promise<string[]> {
  try {
    if (await spare.startOnce()) return [`${spare.name} got ready`];
    const output = spare.output.join('');
    const told = output.slice(output.indexOf('Latchkey cannot start:'));
    return [
      ...(spare.exitCode === 1 && told.startsWith('Latchkey cannot start:') && !told.includes('    at ')
        ? []
        : [`${spare.name} ended with ${spare.exitCode}: ${output.slice(-500)}`]),
      ...names.filter((name) => !told.includes(name)).map((name) => `${spare.name} did not name ${name}: ${told}`),
      ...values
        .filter((value) => output.includes(value.replace(/^\d:/, '')))
        .map(() => `${spare.name} told the value of a secret`),
    ];
  } finally {
    await spare.end('SIGKILL');
    spare.client.close();
  }
}

interface Changed {
  readonly settings: Settings;
  readonly restarts: number;
  readonly answered: number;
  readonly settled: number;
  readonly failures: number;
}

/** The steps of the manual: the new version second everywhere, then first everywhere. */
async function changeUnderLoad(
  cluster: ProofCluster,
  changes: readonly (readonly SecretName[])[],
  secrets: readonly string[],
  violations: string[],
  log: (line: string) => void,
): Promise<Changed> {
  const balancer = new Balancer(cluster.replicas);
  const load = new Load(() => balancer.next(), cluster.adminToken, secrets, CLIENTS);
  const lists = new Map(SECRET_NAMES.map((name) => [name, [`1:${cluster.setting(name).replace(/^1:/, '')}`]]));
  const settings = () => Object.fromEntries([...lists].map(([name, list]) => [name, list.join(',')]));
  let restarts = 0;
  const roll = async (what: string) => {
    for (const replica of cluster.replicas) {
      await sleep(300);
      const code = await replica.end('SIGTERM');
      if (code !== 0) violations.push(`${replica.name} ended with ${code}: ${replica.output.slice(-3).join('')}`);
      replica.configure(settings());
      await replica.start();
      restarts += 1;
    }
    log(`${what}: ${load.answered} answers, ${load.settled} settled`);
  };
  for (const [index, names] of changes.entries()) {
    const version = String(index + 2);
    for (const name of names) lists.get(name)!.push(`${version}:${draw()}`);
    await roll(`added version ${version} of ${names.join(', ')}`);
    for (const name of names) lists.set(name, [lists.get(name)!.at(-1)!, ...lists.get(name)!.slice(0, -1)]);
    await roll(`version ${version} signs`);
  }
  await load.stop();
  await balancer.stop();
  violations.push(...load.failures.slice(0, 10));
  if (violations.length > 0) for (const reason of await cluster.reasons()) log(reason);
  return {
    settings: settings(),
    restarts,
    answered: load.answered,
    settled: load.settled,
    failures: load.failures.length,
  };
}

/** Everything that either version made works on each replica, nothing was lost, and the trail is whole. */
async function checkAfterwards(
  cluster: ProofCluster,
  { settings, settled }: Changed,
  secrets: readonly string[],
  violations: string[],
): Promise<void> {
  const { body } = await cluster.replica(0).client.post('/auth/login', { body: ADMIN });
  const created = await cluster.createKey();
  for (const replica of cluster.replicas) {
    for (const token of [cluster.adminToken, body.accessToken as string]) {
      for (const key of [...secrets, created.secret]) {
        const answer = await replica.client.post('/verify', { token, body: { key } });
        if (answer.body.code !== 'VALID')
          violations.push(
            `${replica.name} says ${answer.status} ${String(answer.body.code)} of a key after the change`,
          );
      }
    }
  }
  const [row] = await cluster.database.query<{ events: number }>(
    `SELECT sum(requests)::int AS events FROM (
       SELECT requests FROM key_totals UNION ALL SELECT requests FROM usage_pending_rows()) r`,
  );
  if (row!.events < settled)
    violations.push(`${settled} settles were acknowledged, and ${row!.events} are in the books`);
  const versions = await cluster.database.query<{ pepper_version: string; tag_version: string }>(
    'SELECT DISTINCT pepper_version, tag_version FROM api_key_secret',
  );
  if (versions.length < 2) violations.push('all keys were made with one version: nothing was changed');
  const changes = await cluster.database.query('SELECT 1 FROM audit_key_change');
  if (changes.length === 0) violations.push('AUDIT_KEY was not changed');
  const doctor = await cluster.doctor(settings);
  if (doctor.exitCode !== 0) violations.push(`the doctor ended with ${doctor.exitCode}: ${doctor.report}`);
}

/** A dump restored elsewhere has the fingerprints with it: it starts with its secrets, and with no others. */
async function refuseAfterRestore(cluster: ProofCluster, settings: Settings, violations: string[]): Promise<number> {
  await cluster.database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'latchkey' AND pid <> pg_backend_pid()`,
  );
  await copyDatabase(cluster);
  const at = (url: string) => url.replace(/\/latchkey$/, '/restored');
  const place = { DATABASE_URL: at(cluster.database.appUrl), DATABASE_MIGRATION_URL: at(cluster.database.ownerUrl) };
  const others = Object.fromEntries(SECRET_NAMES.map((name) => [name, `9:${draw()},1:${draw()}`]));
  const found = await problemsOf(
    await cluster.spare('a start on a restored database with other secrets', { ...place, ...others }),
    SECRET_NAMES,
    Object.values(others),
  );
  const right = await cluster.spare('a start on a restored database', { ...place, ...settings });
  try {
    if (!(await right.startOnce())) found.push(`${right.name} did not get ready: ${right.output.join('').slice(-500)}`);
  } finally {
    await right.end('SIGTERM');
    right.client.close();
  }
  violations.push(...found);
  return found.length === 0 ? 1 : 0;
}

/** As a dump and a restore would; a template must have no sessions, and replicas that ended may still be leaving. */
async function copyDatabase(cluster: ProofCluster): Promise<void> {
  const { ownerUrl } = cluster.database;
  const client = new Client({ connectionString: ownerUrl.replace(/\/latchkey$/, '/postgres') });
  await client.connect();
  try {
    await client.query('CREATE DATABASE restored TEMPLATE latchkey');
  } finally {
    await client.end();
  }
}

/** An embedded database whose `secrets.json` is left behind, as a copy of the database alone leaves it. */
async function refuseEmbedded(violations: string[]): Promise<number> {
  const home = await mkdtemp(join(tmpdir(), 'latchkey-g44-'));
  const [first, copy] = [join(home, 'data'), join(home, 'copy')];
  try {
    const before = await ProofCluster.embedded('an embedded server', { DATA_DIR: first });
    await before.start();
    await before.end('SIGTERM');
    before.client.close();
    await cp(first, copy, { recursive: true, filter: (path) => !path.endsWith('secrets.json') });
    const found = await problemsOf(
      await ProofCluster.embedded('an embedded server without its secrets', { DATA_DIR: copy }),
      ['secrets.json', ...SECRET_NAMES],
      [],
    );
    violations.push(...found);
    return found.length === 0 ? 1 : 0;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
