/** Checks and leases without HTTP and without PostgreSQL: the classes called directly, in this process. */
import { parseCidr } from '../../dist/packages/contract/src/address.js';
import { LeaseManager } from '../../dist/src/quotas/lease-manager.js';
import { decide } from '../../dist/src/verification/checks.js';
import { median } from '../report.mjs';

export const title = 'checks and leases, called directly';

const KEYS = 1_000;
const VERDICTS = 200_000;
const HOUR_MS = 3_600_000;
const LIMITS = { minute: 10_000, hour: 100_000, day: 1_000_000 };

export async function* run({ rounds, question, round }) {
  const perSecond = [];
  for (let turn = 0; turn < rounds; turn += 1) perSecond.push(await measured(question));
  yield {
    figure: `${title}: three windows and a budget, ${KEYS} keys`,
    value: Math.round(median(perSecond)),
    unit: 'verdicts/s',
    reach: '≥ 140 000',
    rounds: perSecond.map(Math.round),
    detail: `${round(1e6 / median(perSecond))} µs of processor time each`,
  };
}

/** Verdicts for each second of processor time, with leases that are asked for while they are given. */
async function measured(question) {
  let ids = 0;
  const clock = {
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    after: (delayMs, act) => setTimeout(act, delayMs),
  };
  const manager = new LeaseManager(generousStore(), clock, () => `lease-${(ids += 1)}`, { replicaId: 'bench' });
  const keys = Array.from({ length: KEYS }, (_, index) =>
    keyOf(`00000000-0000-7000-8000-${String(index).padStart(12, '0')}`),
  );
  await Promise.all(keys.map(({ request }) => manager.admit(request)));
  const before = process.cpuUsage();
  for (let asked = 0; asked < VERDICTS; asked += KEYS) {
    const waiting = [];
    for (const { record, request } of keys) {
      if (decide(record, question, Date.now(), 'any') !== null) throw new Error('a check refused');
      const admission = manager.admit(request);
      if (admission instanceof Promise) waiting.push(admission);
      else if (!admission.admitted) throw new Error('a limit refused');
    }
    if ((await Promise.all(waiting)).some(({ admitted }) => !admitted)) throw new Error('a limit refused');
  }
  const { user, system } = process.cpuUsage(before);
  await manager.stop();
  return (VERDICTS / (user + system)) * 1e6;
}

function keyOf(id) {
  const never = { revokedAtMs: null, expiresAtMs: null };
  return {
    record: {
      secret: never,
      key: {
        ...never,
        ...{ id, environment: 'live', isActive: true, scopes: ['chat:write', 'chat:read'], allowedChatbots: [] },
        allowedIps: ['203.0.113.0/24', '10.0.0.0/8'].map(parseCidr),
        allowedModels: ['gpt-4o*', 'claude-*'],
      },
      owner: { isActive: true },
      project: null,
    },
    request: {
      accounts: [{ id, type: 'monthly' }],
      windows: Object.entries(LIMITS).map(([window, limit]) => ({ id, window, limit })),
      ...{ cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false },
    },
  };
}

/** Grants whatever is asked for. */
function generousStore() {
  return {
    acquire: async ({ budgets, windows }) => ({
      budgets: budgets.map(({ needs }) => ({
        ...{
          found: true,
          period: '2026-11-01',
          month: '2026-11-01',
          limit: 10n ** 15n,
          spent: 0n,
          leased: 0n,
          raise: 0n,
        },
        verdicts: needs.map(() => true),
        ...{ slice: 0n, admitForMs: 10_000, clockMs: Date.now(), monthEndsInMs: 100 * HOUR_MS },
      })),
      windows: windows.map(({ needs, want, limit }) => ({
        verdicts: needs.map(() => true),
        permits: needs.reduce((sum, need) => sum + need, 0) + want,
        ...{ bucket: 1, validForMs: 15_000, free: limit, resetMs: 0, retryMs: 0 },
      })),
    }),
    giveBack: async () => undefined,
  };
}
