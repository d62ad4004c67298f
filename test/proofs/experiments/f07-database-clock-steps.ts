import { setTimeout as sleep } from 'node:timers/promises';
import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment, Outcome } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import { NO_MOVED_CLOCK, SteppedClock } from '../harness/moved-clock.js';

const STEP_SECONDS = 3_600;
const LIMIT = 10;
/** Calls while the clock is ahead. */
const USED_AHEAD = 4;
/** Time for a feed to see a step. */
const SEEN_MS = 2_000;
/** One window, and the longest life of a permit lease beside it. */
const LONGEST_RETRY_SECONDS = 60 + 15 + 2;
/** A pooled lease is held for 75 s; janitors look every 10 s. */
const CLOSED_WITHIN_MS = 110_000;
const KEYS = 3;

/**
 * The clock of PostgreSQL steps an hour ahead, and back. Keys with rate limits that were used meanwhile go on, and none
 * gets more than its limit. What was set aside of budgets in that hour comes back (full size only: it takes 75 s).
 */
export const f07: Experiment = {
  id: 'F07',
  guarantee:
    'a step of the database clock by an hour and back limits no key for longer than one window, lets none exceed its limit, and strands no budget',
  inCi: true,
  fault: {
    what: 'windows are counted by the function of an early release',
    sql: `ALTER FUNCTION quota_windows_3 RENAME TO quota_windows_unused;
          CREATE FUNCTION quota_windows_3(a integer, b boolean, c boolean, d uuid[], e integer[], f integer[], g integer[], h integer[], few integer[],
            i integer[], j integer[], k bigint[], l integer[], m integer[]) RETURNS text LANGUAGE sql AS 'SELECT quota_windows(a,b,c,d,e,f,g,h,i,j,k,l,m)'`,
  },
  run: async ({ size, log, fault }): Promise<Outcome> => {
    const clock = await SteppedClock.start();
    if (clock === null) return { skipped: NO_MOVED_CLOCK };
    const cluster = await ProofCluster.start(2, {}, fault, [], clock.environment);
    try {
      const violations: string[] = [];
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const part = await Promise.all(
        Array.from({ length: KEYS }, () => cluster.createKey({ rateLimitPerMinute: LIMIT })),
      );
      const full = await cluster.createKey({ rateLimitPerMinute: LIMIT });
      const budget = await cluster.createKey({ budgetLimitCents: 100 });
      const verify = async (turn: number, secret: string, more: object = {}) =>
        (await cluster.replica(turn).client.post('/verify', { apiKey: caller.secret, body: { key: secret, ...more } }))
          .body;
      const times = async (count: number, secret: string) => {
        let admitted = 0;
        for (let turn = 0; turn < count; turn += 1) if ((await verify(turn, secret)).valid === true) admitted += 1;
        return admitted;
      };

      let admittedAhead = 0;
      await clock.stepTo(STEP_SECONDS);
      await sleep(SEEN_MS);
      for (const { secret } of part) {
        const admitted = await times(USED_AHEAD, secret);
        admittedAhead += admitted;
        if (admitted !== USED_AHEAD)
          violations.push(`${admitted} of ${USED_AHEAD} calls were admitted while the clock was ahead`);
      }
      await times(LIMIT, full.secret);
      const reserved = await verify(0, budget.secret, { reserveCents: 5 });
      if (reserved.valid !== true) violations.push(`a reservation while the clock was ahead: ${String(reserved.code)}`);

      await clock.stepTo(0);
      await sleep(SEEN_MS);
      const [now] = await cluster.database.query<{ ahead: number }>(
        `SELECT extract(epoch FROM clock_timestamp())::float8 - $1::float8 AS ahead`,
        [Date.now() / 1000],
      );
      if (Math.abs(now!.ahead) > 5)
        violations.push(`the clock of the database is ${now!.ahead} s off after its step: nothing was shown`);
      const before = await cluster.doctor();
      if (
        !/DIFF {2}no rate window and no lease lies in the future/.test(before.report) ||
        !before.report.includes('was granted')
      ) {
        violations.push(`the doctor does not name what lies in the future: ${before.report}`);
      }

      let over = 0;
      let admittedAfter = 0;
      for (const { secret } of part) {
        const admitted = await times(LIMIT, secret);
        admittedAfter += admitted;
        if (admitted === 0) violations.push('a key with room was refused after the clock had stepped back');
        if (admitted + USED_AHEAD > LIMIT) over += 1;
      }
      if (over > 0) violations.push(`${over} keys exceeded their limit over the step back`);
      const refused = await verify(1, full.secret);
      const retryAfter = Number(refused.retryAfterSeconds ?? refused.rateLimit?.retryAfterSeconds);
      if (refused.code !== 'RATE_LIMITED') violations.push(`a key that was used up: ${String(refused.code)}`);
      if (!(retryAfter > 0 && retryAfter <= LONGEST_RETRY_SECONDS))
        violations.push(`retry after ${retryAfter} s: ${JSON.stringify(refused)}`);
      const rows = await cluster.database.query<{ ahead: string }>(
        'SELECT at_ms - quota_ms(quota_clock()) AS ahead FROM rate_window WHERE at_ms > quota_ms(quota_clock()) + 15000',
      );
      if (rows.length > 0) violations.push(`${rows.length} windows still lie ${rows[0]!.ahead} ms in the future`);

      let closedAfterMs = 0;
      if (size === 'full') {
        const startedAt = performance.now();
        const left = () => cluster.database.query('SELECT 1 FROM budget_lease WHERE key_id = $1', [budget.id]);
        while ((await left()).length > 0 && performance.now() < startedAt + CLOSED_WITHIN_MS) await sleep(500);
        closedAfterMs = Math.round(performance.now() - startedAt);
        if ((await left()).length > 0) violations.push('a lease of the future was not closed');
        await sleep(retryAfter * 1000 - closedAfterMs);
        const after = await verify(0, full.secret);
        if (after.valid !== true) violations.push(`after its time to retry the key is ${String(after.code)}`);
      }
      violations.push(...(await bookDifferences(cluster)));
      log(`retry after ${retryAfter} s; leases of the future closed after ${closedAfterMs} ms`);
      const floors = [
        floor('calls admitted while the clock was ahead', admittedAhead, KEYS * USED_AHEAD),
        floor('calls admitted after it stepped back', admittedAfter, KEYS),
        floor('calls refused after it stepped back', refused.code === 'RATE_LIMITED' ? 1 : 0, 1),
      ] as const;
      return { violations, floors, figures: { keys: KEYS + 1, retryAfterSeconds: retryAfter, closedAfterMs } };
    } finally {
      await cluster.stop();
      await clock.remove();
    }
  },
};
