import { setTimeout as sleep } from 'node:timers/promises';
import { ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { type Admitted, mostWithin } from '../harness/sliding-window.js';

const SECONDS = { ci: 84, full: 240 } as const;
const WINDOW_MS = 60_000;
const LIMIT = 600;
const OFFERED = [0.9, 1, 10] as const;
const TICK_MS = 20;
/** An acquire that takes longer than a second is answered 503: on a machine that is busy otherwise some may. */
const MOST_UNDECIDED_PART = 0.02;

/** Three keys, offered less than their limit, as much, and far more, each over three replicas. */
export const g16: Experiment = {
  id: 'G16',
  guarantee: 'rate limits hold in any interval over 3 replicas at 0.9×, 1× and 10×; ≥ 95 % reachable; 0 refusals at 0.9×',
  inCi: true,
  run: async ({ size, random, log }) => {
    const cluster = await ProofCluster.start(3);
    try {
      const caller = await cluster.createKey({ roles: ['gateway'] });
      const violations: string[] = [];
      const figures: Record<string, number> = { limit: LIMIT, seconds: SECONDS[size] };
      await Promise.all(
        OFFERED.map(async (load) => {
          const { secret } = await cluster.createKey({ rateLimitPerMinute: LIMIT });
          const { began, admitted, refused, asked, undecided } = await offer((client) => cluster.replica(client).client.post('/verify', { apiKey: caller.secret, body: { key: secret } }), load, SECONDS[size], random.integer(3), violations);
          const most = mostWithin(admitted, WINDOW_MS);
          const later = (calls: readonly { start: number }[]) => calls.filter(({ start }) => start > began + WINDOW_MS).length;
          // Of what was asked for once the window was full; what was undecided is the machine's.
          const share = later(admitted) / Math.max(1, later(admitted) + later(refused));
          const name = `at${String(load).replace('.', '_')}x`;
          Object.assign(figures, { [`${name}Asked`]: asked, [`${name}Most`]: most, [`${name}Refused`]: refused.length, [`${name}AdmittedPercentAfterFirstMinute`]: Math.round(share * 1000) / 10, [`${name}Undecided`]: undecided.length });
          log(`${load}×: ${asked} asked, ${refused.length} refused, at most ${most} in any minute, after the first ${Math.round(share * 1000) / 10} % of the calls admitted`);
          if (undecided.length > 0) log(`${load}×: ${undecided.length} undecided: ${undecided.slice(0, 3).join('; ')}`);
          if (undecided.length > MOST_UNDECIDED_PART * asked) violations.push(`${load}×: ${undecided.length} of ${asked} calls were not decided, without a fault`);
          if (most > LIMIT) violations.push(`${load}×: ${most} calls within one minute, the limit is ${LIMIT}`);
          if (load < 1 && refused.length > 0) violations.push(`${load}×: ${refused.length} refusals below the limit`);
          if (load >= 1 && most < 0.95 * LIMIT) violations.push(`${load}×: only ${most} calls in the best minute, the limit is ${LIMIT}`);
          if (load > 1 && refused.length === 0) violations.push(`${load}×: nothing was refused`);
        }),
      );
      return { violations, figures };
    } finally {
      await cluster.stop();
    }
  },
};

interface Offered {
  readonly admitted: Admitted[];
  readonly began: number;
  readonly refused: { start: number }[];
  readonly asked: number;
  /** When, after how long, and with what words. */
  readonly undecided: string[];
}

type Ask = (replica: number) => Promise<{ status: number; body: { valid: boolean; code: string; detail: string } }>;

/** Asks at an even rate, whatever the answers are and however long they take. */
async function offer(ask: Ask, load: number, seconds: number, from: number, violations: string[]): Promise<Offered> {
  const admitted: Admitted[] = [];
  const underWay: Promise<void>[] = [];
  const undecided: string[] = [];
  const refused: { start: number }[] = [];
  let asked = 0;
  const began = performance.now();
  const once = async () => {
    const start = performance.now();
    const { status, body } = await ask(from + asked);
    if (status === 200 && body.valid) admitted.push({ start, end: performance.now() });
    else if (status === 200 && body.code === 'RATE_LIMITED') refused.push({ start });
    else if (status === 503) undecided.push(`${Math.round(start - began)} ms + ${Math.round(performance.now() - start)} ms: ${body.detail}`);
    else violations.push(`${load}×: a verify answered ${status} ${body.code}`);
  };
  for (;;) {
    const passed = performance.now() - began;
    if (passed > seconds * 1000) break;
    for (; asked < (passed / WINDOW_MS) * LIMIT * load; asked += 1) underWay.push(once());
    await sleep(TICK_MS);
  }
  await Promise.all(underWay);
  return { began, admitted, refused, asked, undecided };
}
