import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { mint } from '../../../src/api-keys/secret.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { quantile } from '../harness/quantile.js';

const TRIES = { ci: 10_000, full: 200_000 } as const;
const ATTACKERS = 6;
const TAG_KEY = randomBytes(32).toString('base64url');
const PREFIX = 'lk';
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const OWNER_PAUSE_MS = 5;

/**
 * An attacker knows a key's kid, which is no secret, and tries secrets: half of the tries with a made-up tag, half
 * with the right tag, as if the tag key were stolen; half as a key that is asked about, half as the credential of the
 * call. The key has limits that only its owner's calls may use up.
 */
export const g23: Experiment = {
  id: 'G23',
  guarantee:
    'nobody can lock out the key of another owner: 0 refusals of the owner during 10 000 wrong-secret tries with the right kid',
  inCi: true,
  fault: { what: 'a key is refused after a hundred wrong secrets under its kid', patch: 'locks-out.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(2, { TAG_KEYS: `1:${TAG_KEY}` }, fault);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const key = await cluster.createKey({ roles: ['gateway'], rateLimitPerDay: 1_000_000, budgetLimitCents: 1_000 });
      const guess = (tries: number): string =>
        tries % 2 === 0 ? withWrongTag(key.secret, () => random.integer(ALPHABET.length)) : withRightTag(key.secret);
      const violations: string[] = [];
      let tries = 0;
      const refused = { asKey: 0, asCredential: 0 };
      let attacking = true;
      const attack = async (): Promise<void> => {
        while (tries < TRIES[size]) {
          tries += 1;
          const presented = guess(tries);
          const client = cluster.replica(tries).client;
          if (tries % 4 < 2) {
            const { body } = await client.post('/verify', { apiKey: caller.secret, body: { key: presented } });
            if (body.code === 'NOT_FOUND') refused.asKey += 1;
            else violations.push(`a wrong secret: ${String(body.code)}`);
          } else {
            const { status } = await client.post('/verify', { apiKey: presented, body: { key: key.secret } });
            if (status === 401) refused.asCredential += 1;
            else violations.push(`a wrong secret as credential: ${status}`);
          }
        }
      };
      const took: number[] = [];
      let owner = 0;
      const own = async (): Promise<void> => {
        for (; attacking; owner += 1) {
          const start = performance.now();
          const asked = await cluster
            .replica(owner)
            .client.post('/verify', { apiKey: caller.secret, body: { key: key.secret } });
          const asking = await cluster
            .replica(owner + 1)
            .client.post('/verify', { apiKey: key.secret, body: { key: caller.secret } });
          took.push(performance.now() - start);
          if (asked.body.valid !== true) violations.push(`the owner's key: ${asked.status} ${String(asked.body.code)}`);
          if (asking.body.valid !== true)
            violations.push(`the owner's call: ${asking.status} ${String(asking.body.code)}`);
          await sleep(OWNER_PAUSE_MS);
        }
      };
      const owning = own();
      await Promise.all(Array.from({ length: ATTACKERS }, attack));
      attacking = false;
      await owning;
      const { body } = await cluster
        .replica(0)
        .client.request('GET', `/api/v1/api-keys/${key.id}/usage`, { token: cluster.adminToken });
      const refusals = Object.keys((body.refusalsToday ?? {}) as object);
      if (refusals.length > 0) violations.push(`the key has refusals that are not its owner's: ${refusals.join(', ')}`);
      log(
        `${tries} tries, ${refused.asCredential} of them as credential; ${owner} calls of the owner, p99 ${quantile(took, 0.99)} ms for two`,
      );
      const floors = [
        floor('wrong secrets refused as key', refused.asKey, TRIES[size] / 4),
        floor('wrong secrets refused as credential', refused.asCredential, TRIES[size] / 4),
        floor('calls of the owner', owner, 50),
      ] as const;
      return {
        violations: [...new Set(violations)],
        floors,
        figures: { tries, asCredential: refused.asCredential, ownersCalls: owner, ownersP99Ms: quantile(took, 0.99) },
      };
    } finally {
      await cluster.stop();
    }
  },
};

function withWrongTag(secret: string, draw: () => number): string {
  const head = secret.slice(0, -49);
  return head + Array.from({ length: 49 }, () => ALPHABET[draw()]).join('');
}

/** The same kid, another body, and the tag that fits it. */
function withRightTag(secret: string): string {
  const kid = secret.slice(-63, -49);
  const number = [...kid].reduce((sum, digit) => sum * 62n + BigInt(ALPHABET.indexOf(digit)), 0n);
  const kidBytes = Buffer.from(number.toString(16).padStart(32, '0'), 'hex');
  const environment = secret.startsWith(`${PREFIX}_live_`) ? 'live' : 'test';
  const made = mint({
    prefix: PREFIX,
    environment,
    tagKeys: [{ version: '1', key: createHash('sha256').update(TAG_KEY).digest() }],
    randomBytes: (length) => Buffer.concat([kidBytes, randomBytes(length - kidBytes.length)]),
  });
  return made.secret.reveal();
}
