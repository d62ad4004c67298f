import { bookDifferences } from '../harness/books.js';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';

const IDS = { ci: 20_000, full: 100_000 } as const;
const PER_REQUEST = 500;
const KEYS = 20;
const CONFLICTS = 500;
const FORGETS_IDS = `
  CREATE FUNCTION forget_id() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    DELETE FROM usage_id WHERE key_id = NEW.key_id AND caller_id = NEW.caller_id AND id_hash = NEW.id_hash;
    RETURN NEW;
  END $$;
  CREATE TRIGGER forget_id BEFORE INSERT ON usage_id FOR EACH ROW EXECUTE FUNCTION forget_id()`;

/** Events, and what the totals say of them with what is not added to them yet. */
const COUNTED = `
  SELECT (SELECT count(*)::int FROM usage_event) AS n, (SELECT sum(requests)::int FROM (
    SELECT requests FROM key_totals UNION ALL SELECT requests FROM usage_pending_rows()) r) AS requests`;

/** Every id is sent three times at once, to three replicas, in three orders; then with other content. */
export const g04: Experiment = {
  id: 'G04',
  guarantee: 'usage counts exactly once; another payload under a used id is a conflict',
  inCi: true,
  fault: { what: 'an id that comes again is forgotten first', sql: FORGETS_IDS },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(3, {}, fault);
    try {
      const keys: string[] = [];
      for (let index = 0; index < KEYS; index += 1) keys.push((await cluster.createKey()).id);
      const events = Array.from({ length: IDS[size] }, (_, index) => ({
        id: `e${index}`,
        apiKeyId: keys[index % KEYS]!,
        costCents: 0.25,
        model: `m${index % 7}`,
      }));
      const violations: string[] = [];
      const counts = { accepted: 0, duplicate: 0 };

      let refused = 0;
      const send = async (replica: number, batch: readonly unknown[]) => {
        for (;;) {
          const answer = await cluster
            .replica(replica)
            .client.post('/usage', { token: cluster.adminToken, body: { events: batch }, timeoutMs: 30_000 });
          // A full queue: some of it may have counted, and comes back as duplicates.
          if (answer.status !== 503) return answer;
          refused += 1;
        }
      };
      const started = performance.now();
      for (let from = 0; from < events.length; from += PER_REQUEST) {
        const batch = events.slice(from, from + PER_REQUEST);
        const answers = await Promise.all(
          [0, 1, 2].map((replica) =>
            send(
              replica,
              [...batch].sort(() => random.next() - 0.5),
            ),
          ),
        );
        for (const { status, body } of answers) {
          if (status !== 200) violations.push(`a report answered ${status}: ${JSON.stringify(body).slice(0, 200)}`);
          for (const { id, outcome } of (body.results ?? []) as { id: string; outcome: keyof typeof counts }[]) {
            if (outcome !== 'accepted' && outcome !== 'duplicate') violations.push(`${id}: ${String(outcome)}`);
            else counts[outcome] += 1;
          }
        }
        if (violations.length > 0) break;
      }
      const seconds = (performance.now() - started) / 1000;
      log(`${counts.accepted} accepted, ${counts.duplicate} duplicates in ${seconds.toFixed(1)} s`);

      let conflicts = 0;
      const changed = Array.from({ length: CONFLICTS }, () => random.pick(events)).map((event) => ({
        ...event,
        costCents: 0.5,
      }));
      const { status, body } = await send(0, changed);
      for (const { outcome } of body.results as { outcome: string }[]) if (outcome === 'conflict') conflicts += 1;
      if (status !== 409 || body.code !== 'USAGE_CONFLICT' || conflicts !== CONFLICTS)
        violations.push(`${conflicts} of ${CONFLICTS} conflicts seen, status ${status}`);

      const [total] = await cluster.database.query<{ n: number; requests: number }>(COUNTED);
      const acknowledgedOnce = refused === 0 ? counts.accepted === IDS[size] : counts.accepted <= IDS[size];
      if (!acknowledgedOnce || total!.n !== IDS[size] || total!.requests !== IDS[size]) {
        violations.push(
          `${IDS[size]} ids, ${counts.accepted} accepted, ${total!.n} events, ${total!.requests} in the totals`,
        );
      }
      violations.push(...(await bookDifferences(cluster)));
      const floors = [
        floor('events accepted', counts.accepted, IDS[size] / 2),
        floor('events told to be duplicates', counts.duplicate, IDS[size]),
        floor('conflicts told', conflicts, 1),
      ] as const;
      return {
        violations,
        floors,
        figures: {
          ids: IDS[size],
          ...counts,
          conflicts,
          refused,
          eventsPerSecond: Math.round((3 * IDS[size]) / seconds),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};
