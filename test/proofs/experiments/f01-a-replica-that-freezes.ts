import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floorsOfKinds } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';

const ROUNDS = { ci: 2, full: 12 } as const;
const REVOKED_WITHIN_MS = 5_000;
/** Short, because `?wait=true` waits it out for a replica that is frozen. */
const MAX_STALENESS_SECONDS = 3;
const WAITED_WITHIN_MS = (MAX_STALENESS_SECONDS + 1) * 1_000 + REVOKED_WITHIN_MS;
/** To the replica that is frozen: its changes are open for long enough to be met in the middle. */
const LATENCY_MS = 40;
const TRIES = 40;

/** What a change has locked last, told by the beginning of the statement that its session ran last. */
const LAST = {
  // Caller and owner are locked, and the owner's keys counted, in one round trip.
  user: /count FROM api_key\s+WHERE owner_id = \$1/,
  key: /^SELECT "k"\."id"/,
  head: /FROM change_head FOR UPDATE/,
} as const;

type Row = keyof typeof LAST;

interface Owned {
  readonly ownerId: string;
  /** The key that the frozen change is about. */
  readonly changed: string;
  /** A leaked key of the same owner. */
  readonly leaked: { readonly id: string; readonly secret: string };
}

/**
 * Replica 0 is stopped (SIGSTOP) in the middle of a change, when PostgreSQL shows its session idle in a transaction
 * with the row locked. On replica 1 a leaked key of the same owner is revoked.
 */
export const f01: Experiment = {
  id: 'F01',
  guarantee:
    'a replica frozen in the middle of a change stops nobody: a key of the same owner is revoked within 5 s, whatever row is locked',
  inCi: true,
  fault: { what: 'a change may be silent for as long as it likes', patch: 'keeps-its-locks.mjs' },
  run: async ({ size, log, fault }) => {
    const cluster = await ProofCluster.start(
      2,
      { MAX_STALENESS_SECONDS: String(MAX_STALENESS_SECONDS) },
      fault,
      [],
      {},
      true,
    );
    const violations: string[] = [];
    const freezes = new Map<Row, number>();
    const figures: Record<string, number> = {};
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      cluster.ways[0]!.setLatency(LATENCY_MS);
      for (const row of Object.keys(LAST) as Row[]) {
        for (let round = 0; round < ROUNDS[size]; round += 1) {
          const isWaiting = round === 1;
          const owned = await prepared(cluster);
          const frozen = await freeze(cluster, row, owned);
          if (frozen === null) {
            log(`${row} ${round}: the replica was never met with the row locked`);
            continue;
          }
          freezes.set(row, (freezes.get(row) ?? 0) + 1);
          const { revokedMs, waitedMs, problems } = await revoke(cluster, owned, caller.secret, isWaiting);
          violations.push(...problems.map((problem) => `${row} ${round}: ${problem}`));
          figures[`${row}RevokedMs`] = Math.max(figures[`${row}RevokedMs`] ?? 0, Math.round(revokedMs));
          if (isWaiting) figures[`${row}WaitedMs`] = Math.round(waitedMs);
          cluster.replica(0).resume();
          const { status, body } = await frozen.change;
          log(
            `${row} ${round}: revoked after ${Math.round(revokedMs)} ms; the frozen change ended with ${status} ${body?.code ?? ''}`,
          );
          if (status >= 500 && !['UNAVAILABLE', 'OUTCOME_UNKNOWN'].includes(body?.code))
            violations.push(`${row} ${round}: the frozen change answered ${status}`);
          await patiently(() =>
            cluster.replica(0).client.post('/api-keys', { token: cluster.adminToken, body: {}, timeoutMs: 15_000 }),
          );
        }
      }
      const { exitCode, report } = await cluster.doctor();
      if (exitCode !== 0) violations.push(`the doctor found: ${report}`);
      const floors = floorsOfKinds(
        'freezes with a lock on the row of the',
        Object.keys(LAST) as Row[],
        freezes,
        ROUNDS[size],
      );
      return {
        violations,
        floors,
        figures: { ...figures, freezes: [...freezes.values()].reduce((sum, one) => sum + one, 0) },
      };
    } finally {
      cluster.replica(0).resume();
      await cluster.stop();
    }
  },
};

/** A user with two keys. */
async function prepared(cluster: ProofCluster): Promise<Owned> {
  const ask = (path: string, body: unknown) =>
    patiently(() => cluster.replica(1).client.post(path, { token: cluster.adminToken, body }));
  const email = `u${Math.random().toString(36).slice(2)}@latchkey.test`;
  const user = await ask('/users', { name: 'Owner', email });
  const keys = [await ask('/api-keys', { ownerId: user.body.id }), await ask('/api-keys', { ownerId: user.body.id })];
  const [changed, leaked] = keys.map(({ body }) => ({
    id: body.apiKey.id as string,
    secret: body.secretKey as string,
  }));
  return { ownerId: user.body.id as string, changed: changed!.id, leaked: leaked! };
}

/** A change that holds a row and does not go on. */
interface Frozen {
  readonly change: Promise<ProofAnswer>;
}

/** Stops replica 0 while a change of its holds the row. null: it was never met in the middle of one. */
async function freeze(cluster: ProofCluster, row: Row, { ownerId, changed }: Owned): Promise<Frozen | null> {
  const replica = cluster.replica(0);
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const options = { token: cluster.adminToken, timeoutMs: 60_000 };
    const change =
      row === 'user'
        ? replica.client.post('/api-keys', { ...options, body: { ownerId } })
        : replica.client.request('PATCH', `/api/v1/api-keys/${changed}`, { ...options, body: { name: `n${attempt}` } });
    const answered = change.then(() => true);
    const done = async () => (await Promise.race([answered, sleep(2).then(() => false)])) === true;
    while (!(await done())) {
      if (!(await isHeld(cluster, LAST[row]))) continue;
      replica.pause();
      await sleep(LATENCY_MS * 3);
      if (await isHeld(cluster, LAST[row])) return { change };
      replica.resume();
      break;
    }
    await change;
  }
  return null;
}

/** Whether a change of replica 0 sits in its transaction with the row locked. */
async function isHeld(cluster: ProofCluster, last: RegExp): Promise<boolean> {
  const sessions = await cluster.database.query<{ query: string }>(
    `SELECT query FROM pg_stat_activity WHERE application_name = 'latchkey' AND state = 'idle in transaction'`,
  );
  return sessions.some(({ query }) => last.test(query));
}

async function revoke(cluster: ProofCluster, { leaked, ownerId }: Owned, caller: string, isWaiting: boolean) {
  const { client } = cluster.replica(1);
  const problems: string[] = [];
  const began = performance.now();
  const since = () => performance.now() - began;
  const goOn = async (): Promise<void> => {
    for (;;) {
      const answer = await client.post(`/api-keys/${leaked.id}/revoke${isWaiting ? '?wait=true' : ''}`, {
        token: cluster.adminToken,
        body: {},
        timeoutMs: 20_000,
      });
      if (answer.status === 200 || answer.body.code === 'ALREADY_REVOKED' || since() > 20_000) return;
    }
  };
  const waited = goOn().then(since);
  const isRevoked = async () =>
    (await client.post('/verify', { apiKey: caller, body: { key: leaked.secret } })).body.code === 'REVOKED';
  while (!(await isRevoked()) && since() < 20_000) await sleep(20);
  const revokedMs = since();
  if (revokedMs > REVOKED_WITHIN_MS)
    problems.push(`the leaked key was good for ${Math.round(revokedMs)} ms on the other replica`);
  // A request that waits for the frozen replica keeps nobody else.
  const other = await client.post('/api-keys', { token: cluster.adminToken, body: { ownerId }, timeoutMs: 20_000 });
  if (other.status !== 201) problems.push(`another change of the same owner answered ${other.status}`);
  const waitedMs = await waited;
  if (waitedMs > (isWaiting ? WAITED_WITHIN_MS : REVOKED_WITHIN_MS))
    problems.push(`the revoke answered after ${Math.round(waitedMs)} ms`);
  return { revokedMs, waitedMs, problems };
}
