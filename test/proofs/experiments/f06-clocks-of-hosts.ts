import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster, ProofDatabase } from '../harness/cluster.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { movedClock, NO_MOVED_CLOCK } from '../harness/moved-clock.js';

const OFF_MS = 300_000;
/** Instants may be off by what a request takes on a busy machine. */
const TOLERANCE_MS = 5_000;
const OVERLAP_SECONDS = 60;
/** On a machine that is busy with other things. */
const WARNED_WITHIN_MS = 30_000;
const LOOK_MS = 1_500;

type Cluster = ProofCluster<ProofDatabase>;

/**
 * Three replicas, one with a clock that is 300 s ahead and one that is 300 s behind: changes get the same instants on
 * all.
 */
export const f06: Experiment = {
  id: 'F06',
  guarantee: 'a replica whose clock is 300 s off gives changes, sessions and overlaps the same instants as any other',
  inCi: true,
  fault: { what: 'the time of day is that of the host', patch: 'trusts-host-clock.mjs' },
  run: async ({ log, fault }): Promise<Outcome> => {
    const ahead = await movedClock(OFF_MS);
    if (ahead === null) return { skipped: NO_MOVED_CLOCK };
    const behind = { ...ahead, FAKETIME: `-${OFF_MS / 1000}` };
    const cluster = await ProofCluster.startOn(await ProofDatabase.start(), 3, {}, fault, [], [{}, ahead, behind]);
    try {
      const violations: string[] = [];
      let checked = 0;
      for (const [replica, name] of ['right', '300 s ahead', '300 s behind'].entries()) {
        const found = await instantsOf(cluster, replica);
        checked += found.checked;
        violations.push(...found.violations.map((violation) => `the replica that is ${name}: ${violation}`));
      }
      const warnings = () =>
        cluster.replicas.map(({ output }) => output.join('').includes('The clock of this machine is'));
      // What does not work is looked for once a second.
      for (const until = performance.now() + WARNED_WITHIN_MS; performance.now() < until; await sleep(100))
        if (warnings().slice(1).every(Boolean)) break;
      await sleep(LOOK_MS);
      const warned = warnings();
      if (warned.join() !== 'false,true,true') violations.push(`warned of their clocks: ${warned.join()}`);
      log(`${checked} instants`);
      return { violations, floors: [floor('instants compared', checked, 30)], figures: { instants: checked } };
    } finally {
      await cluster.stop();
    }
  },
};

async function instantsOf(cluster: Cluster, replica: number): Promise<{ violations: string[]; checked: number }> {
  const { client } = cluster.replica(replica);
  const token = cluster.adminToken;
  const violations: string[] = [];
  let checked = 0;
  const manage = async (method: string, path: string, body?: object) => {
    const answer = await client.request(method, `/api/v1${path}`, { token, ...(body ? { body } : {}) });
    if (answer.status >= 300)
      violations.push(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  /** `instant` is `offsetSeconds` after now, as the database has it. */
  const isNear = (what: string, instant: unknown, offsetSeconds = 0) => {
    checked += 1;
    const offMs = new Date(String(instant)).getTime() - Date.now() - offsetSeconds * 1000;
    if (!(Math.abs(offMs) <= TOLERANCE_MS)) violations.push(`${what} is off by ${Math.round(offMs)} ms`);
  };

  const { apiKey, secretKey } = await manage('POST', '/api-keys', {});
  isNear('createdAt', apiKey?.createdAt);
  const regenerated = await manage('POST', `/api-keys/${apiKey.id}/regenerate`, { overlapSeconds: OVERLAP_SECONDS });
  isNear('the end of the overlap', regenerated.previousSecretExpiresAt, OVERLAP_SECONDS);
  for (const other of [0, 1, 2]) {
    const { body } = await cluster.replica(other).client.post('/verify', { token, body: { key: secretKey } });
    checked += 1;
    if (body.valid !== true) violations.push(`the secret in its overlap: ${String(body.code)} on replica ${other}`);
  }
  const soon = new Date(Date.now() + 60_000).toISOString();
  await manage('PATCH', `/api-keys/${apiKey.id}`, { expiresAt: soon });
  const past = new Date(Date.now() - 60_000).toISOString();
  const refused = await client.request('PATCH', `/api/v1/api-keys/${apiKey.id as string}`, {
    token,
    body: { expiresAt: past },
  });
  checked += 1;
  if (refused.status !== 400) violations.push(`an expiry a minute ago answered ${refused.status}`);
  const renewed = await manage('POST', `/api-keys/${apiKey.id}/renew`, {});
  isNear(
    'the renewed expiry',
    renewed.expiresAt,
    Math.round((new Date(renewed.expiresAt).getTime() - new Date(renewed.updatedAt).getTime()) / 1000),
  );
  isNear('updatedAt', renewed.updatedAt);
  const revoked = await manage('POST', `/api-keys/${apiKey.id}/revoke`);
  isNear('revokedAt', revoked.revokedAt);

  // In the middle between what the parser refuses: 5 minutes ahead, and 35 days behind.
  const usage = await client.post('/usage', {
    token,
    body: {
      events: [
        {
          id: `u${replica}`,
          apiKeyId: apiKey.id,
          costCents: 1,
          occurredAt: new Date(Date.now() + 240_000).toISOString(),
        },
      ],
    },
  });
  checked += 1;
  if (usage.body.results?.[0]?.outcome !== 'accepted')
    violations.push(`usage 4 minutes ahead: ${JSON.stringify(usage.body)}`);

  const session = await client.post('/auth/login', {
    body: { email: 'admin@latchkey.test', password: 'a password for proofs' },
  });
  const claims = JSON.parse(Buffer.from(String(session.body.accessToken).split('.')[1]!, 'base64url').toString()) as {
    iat: number;
    exp: number;
  };
  isNear('iat', new Date(claims.iat * 1000).toISOString());
  for (const other of [0, 1, 2]) {
    const me = await cluster
      .replica(other)
      .client.request('GET', '/api/v1/auth/me', { token: session.body.accessToken as string });
    checked += 1;
    if (me.status !== 200) violations.push(`its session: ${me.status} on replica ${other}`);
  }
  return { violations, checked };
}
