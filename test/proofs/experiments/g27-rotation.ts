import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';
import type { Random } from '../harness/random.js';

const ROTATIONS = { ci: 8, full: 60 } as const;
const KILLS = { ci: 6, full: 60 } as const;
const CLIENTS = 12;
const HOUR_LIMIT = 120;
const BUDGET_CENTS = 60;
const OVERLAP_SECONDS = 600;
/** Where a kill falls, in parts of the time that a regenerate takes on this machine. */
const KILL_WITHIN = 2.5;
const MEASURED = 5;
const ENDS_PREVIOUS = `
  CREATE FUNCTION end_previous() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    UPDATE api_key_secret SET revoked_at = now() WHERE key_id = NEW.key_id AND kid <> NEW.kid AND revoked_at IS NULL;
    RETURN NULL;
  END $$;
  CREATE TRIGGER end_previous AFTER INSERT ON api_key_secret FOR EACH ROW EXECUTE FUNCTION end_previous()`;

/**
 * Secrets are replaced again and again under clients that learn of the new one late; both secrets of a key share its
 * limits; and replicas are killed in the middle of a regenerate, which its caller then repeats elsewhere.
 */
export const g27: Experiment = {
  id: 'G27',
  guarantee:
    'rotation without downtime or doubled limits: 0 failed calls in overlaps, both secrets share one budget and one rate limit; a kill during regenerate leaves one of two states',
  inCi: true,
  fault: { what: 'the secret before ends at once, whatever overlap was asked for', sql: ENDS_PREVIOUS },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const violations: string[] = [];
      const verify = (key: string, more: object = {}) =>
        patiently(() =>
          random
            .pick(cluster.replicas.filter((one) => one.isRunning))
            .client.post('/verify', { apiKey: caller.secret, body: { key, ...more } }),
        );
      const calls = await rotateUnderLoad(cluster, verify, ROTATIONS[size], violations);
      log(`${calls} calls over ${ROTATIONS[size]} rotations`);
      const shared = await shareLimits(cluster, verify, random, violations);
      log(`two secrets, one limit: ${shared.admitted} of ${HOUR_LIMIT} calls, ${shared.reserved} of ${BUDGET_CENTS} ¢`);
      const states = { notRotated: 0, rotated: 0 };
      const usualMs = await usualTime(cluster, violations);
      for (let kill = 0; kill < KILLS[size] && violations.length < 20; kill += 1) {
        const afterMs = usualMs * KILL_WITHIN * random.next();
        await killWhileRotating(cluster, verify, random, kill, afterMs, states, violations);
      }
      if (states.rotated === 0 || states.notRotated === 0)
        log(`of ${KILLS[size]} kills within ${Math.round(usualMs * KILL_WITHIN)} ms all met the same state`);
      log(`${states.rotated} of ${KILLS[size]} killed regenerates had been committed`);
      violations.push(...(await bookDifferences(cluster)));
      const floors = [
        floor('calls during rotations', calls, ROTATIONS[size] * CLIENTS),
        floor('calls admitted by the shared limit', shared.admitted, 1),
        floor('cents reserved of the shared budget', shared.reserved, 1),
        floor('kills in a regenerate', states.rotated + states.notRotated, KILLS[size]),
      ] as const;
      return {
        violations,
        floors,
        figures: { rotations: ROTATIONS[size], calls, ...shared, kills: KILLS[size], ...states },
      };
    } finally {
      await cluster.stop();
    }
  },
};

type Verify = (key: string, more?: object) => ReturnType<typeof patiently>;

/** Clients use the secret they know, and learn of another only while both work. */
async function rotateUnderLoad(
  cluster: ProofCluster,
  verify: Verify,
  rotations: number,
  violations: string[],
): Promise<number> {
  const key = await cluster.createKey({ scopes: ['chat'] });
  const known = Array.from({ length: CLIENTS }, () => key.secret);
  let calls = 0;
  let going = true;
  const clients = known.map(async (_, index) => {
    for (; going && violations.length < 20; calls += 1) {
      const { status, body } = await verify(known[index]!);
      if (status !== 200 || body.valid !== true)
        violations.push(`a client was refused during rotation: ${status} ${String(body.code)}`);
      await sleep(2);
    }
  });
  for (let rotation = 0; rotation < rotations && violations.length < 20; rotation += 1) {
    const secret = await regenerate(cluster, key.id, rotation, `rotate-${rotation}`, violations);
    await sleep(150);
    // One after the other, as deployments do; the last long after the first.
    for (let index = 0; index < CLIENTS; index += 1) {
      known[index] = secret;
      await sleep(10);
    }
  }
  going = false;
  await Promise.all(clients);
  return calls;
}

/** Both secrets are used at once, on all replicas, far beyond the limits of their key. */
async function shareLimits(
  cluster: ProofCluster,
  verify: Verify,
  random: Random,
  violations: string[],
): Promise<{ admitted: number; reserved: number }> {
  const limited = await cluster.createKey({ rateLimitPerHour: HOUR_LIMIT });
  const funded = await cluster.createKey({ budgetLimitCents: BUDGET_CENTS });
  const pairs = await Promise.all(
    [limited, funded].map(
      async ({ id, secret }) => [secret, await regenerate(cluster, id, 0, `share-${id}`, violations)] as const,
    ),
  );
  const count = async (secrets: readonly string[], more: object): Promise<number> => {
    const verdicts = await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        let valid = 0;
        for (let call = 0; call < 40; call += 1)
          if ((await verify(random.pick(secrets), more)).body.valid === true) valid += 1;
        return valid;
      }),
    );
    return verdicts.reduce((sum, one) => sum + one, 0);
  };
  const admitted = await count(pairs[0]!, {});
  const reserved = await count(pairs[1]!, { reserveCents: 1, reservationTtlSeconds: 600 });
  if (admitted > HOUR_LIMIT || admitted < 0.9 * HOUR_LIMIT)
    violations.push(`two secrets of one key: ${admitted} calls of ${HOUR_LIMIT}`);
  if (reserved > BUDGET_CENTS || reserved < 0.9 * BUDGET_CENTS)
    violations.push(`two secrets of one key reserved ${reserved} of ${BUDGET_CENTS} cents`);
  return { admitted, reserved };
}

/** Whatever the kill met, the same request elsewhere brings one new secret beside the one before, and no third. */
async function killWhileRotating(
  cluster: ProofCluster,
  verify: Verify,
  random: Random,
  kill: number,
  afterMs: number,
  states: { notRotated: number; rotated: number },
  violations: string[],
): Promise<void> {
  const key = await cluster.createKey();
  await verify(key.secret);
  const replica = random.pick(cluster.replicas);
  // One that has just been started answers its first requests slowly: it would always be killed too soon.
  const warm = await cluster.createKey();
  for (let time = 0; time < 3; time += 1)
    await regenerate(cluster, warm.id, cluster.replicas.indexOf(replica), `warm-${kill}-${time}`, violations);
  const request = {
    token: cluster.adminToken,
    body: { overlapSeconds: OVERLAP_SECONDS },
    headers: { 'idempotency-key': `kill-${kill}` },
  };
  const asked = replica.client.post(`/api-keys/${key.id}/regenerate`, request).catch(() => null);
  await sleep(afterMs);
  await replica.end('SIGKILL');
  await asked;
  const [row] = await cluster.database.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM api_key_secret WHERE key_id = $1',
    [key.id],
  );
  if (row!.n === 1) states.notRotated += 1;
  else if (row!.n === 2) states.rotated += 1;
  else violations.push(`kill ${kill}: the key has ${row!.n} secrets`);
  const before = await verify(key.secret);
  if (before.body.valid !== true) violations.push(`kill ${kill}: the secret before is ${String(before.body.code)}`);
  const secret = await regenerate(cluster, key.id, cluster.replicas.indexOf(replica) + 1, `kill-${kill}`, violations);
  for (const one of [key.secret, secret]) {
    const { status, body } = await verify(one);
    if (body.valid !== true)
      violations.push(
        `kill ${kill}: after the repeat the ${one === secret ? 'new' : 'old'} secret is ${status} ${String(body.code)}`,
      );
  }
  const [after] = await cluster.database.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM api_key_secret WHERE key_id = $1',
    [key.id],
  );
  if (after!.n !== 2) violations.push(`kill ${kill}: after the repeat the key has ${after!.n} secrets`);
  await replica.start();
}

/** Milliseconds of one regenerate, the median of a few. */
async function usualTime(cluster: ProofCluster, violations: string[]): Promise<number> {
  const { id } = await cluster.createKey();
  const took: number[] = [];
  for (let time = 0; time < MEASURED; time += 1) {
    const start = performance.now();
    await regenerate(cluster, id, time, `usual-${time}`, violations);
    took.push(performance.now() - start);
  }
  return quantile(took, 0.5);
}

async function regenerate(
  cluster: ProofCluster,
  id: string,
  replica: number,
  name: string,
  violations: string[],
): Promise<string> {
  const { status, body } = await patiently(() =>
    cluster.replica(replica).client.post(`/api-keys/${id}/regenerate`, {
      token: cluster.adminToken,
      body: { overlapSeconds: OVERLAP_SECONDS },
      headers: { 'idempotency-key': name },
    }),
  );
  if (status !== 200) violations.push(`regenerate answered ${status}: ${JSON.stringify(body)}`);
  return String(body.secretKey);
}
