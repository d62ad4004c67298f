import { ADMIN, patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';
import { eventually } from '../../support/eventually.js';

/** Failures of browsers that an account does not know, within 15 minutes. */
const LIMIT = 20;
const ACCOUNTS = 3;
const WAVES = { ci: 14, full: 60 } as const;
const TRIES_A_WAVE = 18;
/** What all replicas have counted is in the database after a second; this is for a machine that is busy. */
const TOLD_WITHIN_MS = 30_000;

/** An account, its owner's browser, and what attackers have got out of it. */
interface Target {
  readonly id: string;
  readonly email: string;
  readonly password: string;
  readonly cookie: string;
  looked: number;
  refused: number;
  /** Answers of the owner's own sign-ins. */
  readonly owner: number[];
}

/**
 * Attackers guess the passwords of three accounts in waves, from networks of IPv6 and from addresses of IPv4, through
 * whichever replica; their owners sign in meanwhile, with browsers that are known, from the attackers' own networks.
 * One replica is killed half-way. Between waves the replicas tell what they have counted.
 */
export const s07: Experiment = {
  id: 'S07',
  guarantee:
    'passwords are guessed 20 times in 15 minutes over all replicas, whatever networks the guesses come from; the owner’s known browser gets in',
  inCi: true,
  fault: { what: 'a replica does not hear of what the others have counted', patch: 'counts-alone.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(
      3,
      { TRUSTED_PROXIES: '127.0.0.1/32', PUBLIC_URL: 'http://127.0.0.1' },
      fault,
    );
    try {
      const targets: Target[] = [];
      for (let index = 0; index < ACCOUNTS; index += 1) targets.push(await addTarget(cluster, index));
      const violations: string[] = [];
      for (let wave = 0; wave < WAVES[size]; wave += 1) {
        const known = targets.map(({ looked }) => looked);
        const [guesses] = await Promise.all([
          attack(cluster, targets, random),
          Promise.all(targets.map((target) => signInAsOwner(cluster, target, random))),
        ]);
        for (const [index, { email, looked }] of targets.entries()) {
          if (known[index]! >= LIMIT && looked > known[index]!)
            violations.push(
              `wave ${wave}: ${email} had ${known[index]} failures, and ${looked - known[index]!} more passwords were looked at`,
            );
        }
        const strange = guesses.filter(({ status }) => status !== 401 && status !== 429);
        for (const { status, body } of strange)
          violations.push(`wave ${wave}: a guess was answered ${status} ${String(body.code)}`);
        await told(cluster, targets);
        if (wave === Math.floor(WAVES[size] / 2)) {
          await cluster.replica(0).end('SIGKILL');
          await cluster.replica(0).start();
        }
      }
      violations.push(...(await findings(cluster, targets)));
      const figures = {
        looked: targets.map(({ looked }) => looked).join(' '),
        refused: targets.map(({ refused }) => refused).join(' '),
        ownersSignIns: targets.reduce((sum, { owner }) => sum + owner.length, 0),
      };
      log(`passwords looked at, by account: ${figures.looked}; guesses refused: ${figures.refused}`);
      const floors = [
        ...targets.map(({ email, looked }) => floor(`${email}: passwords looked at`, looked, LIMIT)),
        ...targets.map(({ email, refused }) => floor(`${email}: guesses refused`, refused, 1)),
        ...targets.map(({ email, owner }) => floor(`${email}: sign-ins of the owner`, owner.length, WAVES[size])),
      ] as unknown as [Floor, ...Floor[]];
      return { violations, floors, figures };
    } finally {
      await cluster.stop();
    }
  },
};

async function addTarget(cluster: ProofCluster, index: number): Promise<Target> {
  const [email, password] = [`owner-${index}@latchkey.test`, `nine small boats at sea ${index}`];
  const { body } = await cluster
    .replica(0)
    .client.post('/users', { token: cluster.adminToken, body: { name: `Owner ${index}`, email, password } });
  const first = await cluster.replica(index).client.post('/auth/login', { body: { email, password } });
  const cookie = [first.headers['set-cookie']]
    .flat()
    .map((line) => String(line).split(';')[0])
    .join('; ');
  return { id: body.id as string, email, password, cookie, looked: 0, refused: 0, owner: [] };
}

/** An address of one of four customers of IPv6, each with 65 536 networks, or of IPv4. */
function address(random: Random): string {
  if (random.integer(3) === 0) return `198.51.${random.integer(100)}.${random.integer(250)}`;
  return `2001:db8:${random.integer(4)}:${random.integer(65_536).toString(16)}::${random.integer(9_999) + 1}`;
}

function attack(cluster: ProofCluster, targets: readonly Target[], random: Random): Promise<ProofAnswer[]> {
  return Promise.all(
    Array.from({ length: TRIES_A_WAVE }, async () => {
      const target = random.pick(targets);
      const { client } = cluster.replica(random.integer(3));
      const body = { email: target.email, password: `guess ${random.integer(1_000_000)}` };
      const request = { body, headers: { 'x-forwarded-for': address(random) }, timeoutMs: 60_000 };
      const answer = await patiently(() => client.post('/auth/login', request));
      if (answer.status === 401) target.looked += 1;
      if (answer.status === 429) target.refused += 1;
      return answer;
    }),
  );
}

async function signInAsOwner(cluster: ProofCluster, target: Target, random: Random): Promise<void> {
  const { client } = cluster.replica(random.integer(3));
  const body = { email: target.email, password: target.password };
  const headers = { 'x-forwarded-for': address(random), cookie: target.cookie };
  const { status } = await patiently(() => client.post('/auth/login', { body, headers, timeoutMs: 60_000 }));
  target.owner.push(status);
}

/** Until the database has every failure that was answered. */
async function told(cluster: ProofCluster, targets: readonly Target[]): Promise<void> {
  await eventually(async () => {
    const rows = await cluster.database.query<{ user_id: string; failures: string }>(
      'SELECT user_id, failures FROM sign_in_failure',
    );
    const counted = new Map(rows.map(({ user_id, failures }) => [user_id, Number(failures)]));
    for (const { id, email, looked } of targets) {
      if ((counted.get(id) ?? 0) < looked)
        throw new Error(`${email}: ${counted.get(id) ?? 0} of ${looked} failures are told`);
    }
  }, TOLD_WITHIN_MS);
}

/** What the people are told. */
async function findings(cluster: ProofCluster, targets: readonly Target[]): Promise<string[]> {
  const violations: string[] = [];
  for (const target of targets) {
    const { email, password, cookie, looked, owner } = target;
    const shutOut = owner.filter((status) => status !== 200);
    if (shutOut.length > 0)
      violations.push(`${email}: the owner was answered ${shutOut.join(' ')} in ${owner.length} sign-ins`);
    const unknown = await cluster
      .replica(1)
      .client.post('/auth/login', { body: { email, password }, headers: { 'x-forwarded-for': '192.0.2.77' } });
    if (unknown.status !== 429 || unknown.headers['retry-after'] === undefined)
      violations.push(`${email}: an unknown browser was answered ${unknown.status}`);
    const { body } = await cluster
      .replica(2)
      .client.post('/auth/login', { body: { email, password }, headers: { cookie } });
    const count = Number(body.notices?.failedSignIns?.count ?? 0);
    if (count < looked) violations.push(`${email}: the person is told of ${count} failures, there were ${looked}`);
  }
  const admin = await cluster.replica(1).client.post('/auth/login', { body: ADMIN });
  if (admin.status !== 200) violations.push(`an account that nobody attacked was answered ${admin.status}`);
  return violations;
}
