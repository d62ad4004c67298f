import { randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from '@jest/globals';
import { Stage } from '../../test/simulation/lease-manager-stage.js';
import type { AcquireAnswer, AcquireRequest } from './quota-store.js';

const KEYS = 10_000;
const LIMITS = { minute: 10_000, hour: 100_000, day: 1_000_000 } as const;
/** With all that V8 and its maps add; what it is made of stands in docs/performance.md. */
const MOST_BYTES_A_KEY = 1_900;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

it('remembers a key with three windows and a budget in few bytes', async () => {
  const stage = new Stage();
  stage.model.acquire = grantsOf;
  // Between two milliseconds, as the clock of a process always is.
  stage.events.now = 70_000.25;
  stage.leaseManager.onPolled({ sentMs: stage.events.now, isClockEven: true, full: [] });
  // Flat texts, as they come from a parser.
  const ids = JSON.parse(JSON.stringify(Array.from({ length: KEYS }, () => randomUUID()))) as string[];
  const before = heldBytes();
  for (const id of ids) {
    void stage.leaseManager.admit({
      accounts: [{ id, type: 'monthly' }],
      windows: (['minute', 'hour', 'day'] as const).map((window) => ({ id, window, limit: LIMITS[window] })),
      ...{ cost: 1, reserve: 0n, ttlSeconds: 60, isDefaultHold: false },
    });
    if (stage.leaseManager.stats().waiting === 100) await stage.pass(20.5);
  }
  // A call is kept for a second, in case that its answer is late.
  await stage.pass(2_000);
  expect(stage.leaseManager.stats()).toMatchObject({ entries: 2 * KEYS, waiting: 0 });
  stage.calls.length = 0;
  expect((heldBytes() - before) / KEYS).toBeLessThan(MOST_BYTES_A_KEY);
});

function heldBytes(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** Grants what stands for an hour; texts and amounts are of their own, as those that the driver reads. */
function grantsOf({ budgets, windows }: AcquireRequest): AcquireAnswer {
  const month = ['2026', '06', '01'].join('-');
  return {
    budgets: budgets.map(({ needs }) => ({
      ...{ found: true, period: month, month, limit: BigInt('1000000000000000'), spent: BigInt('1'), leased: 0n },
      ...{ raise: 0n, verdicts: needs.map(() => true), slice: 0n, admitForMs: 3_600_000, clockMs: 1_764_374_400_000 },
      monthEndsInMs: 1_000_000_000,
    })),
    windows: windows.map(({ needs, limit }) => ({
      ...{ verdicts: needs.map(() => true), permits: 2, bucket: 88_218_720, validForMs: 3_600_000 },
      ...{ free: limit - 2, resetMs: 59_000, retryMs: 0 },
    })),
  };
}
