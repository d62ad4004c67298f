import { describe, expect, it } from '@jest/globals';
import type { RateWindow, WindowName } from '../../src/quotas/quota-store.js';
import { ManyReplicas, type Variation } from './many-replicas.js';
import { uuidOf } from './random.js';

const HOUR_MS = 3_600_000;

type Limits = Partial<Record<WindowName, number>>;

function keysOf(count: number, limits: Limits): RateWindow[][] {
  return Array.from({ length: count }, (_, key) => {
    const id = uuidOf(0xb000 + key);
    return Object.entries(limits).map(([window, limit]) => ({ id, window: window as WindowName, limit }));
  });
}

/** Of 100 000 keys so many are looked at. */
const ZIPF_SAMPLE = 150;

/** Calls a second of a key: of Zipf's 100 000 at 7 000 a second, an even sample but for the hottest. */
function zipf(key: number): number {
  const keys = 100_000;
  const rank = (keys / ZIPF_SAMPLE) * (key + 0.5);
  return 7_000 / (rank * (Math.log(keys) + 0.5772));
}

interface Profile {
  readonly name: string;
  readonly limits: Limits;
  /** So many of its keys are looked at. */
  readonly sample: number;
  readonly perSecond: (key: number) => number;
}

const PROFILES: readonly Profile[] = [
  {
    name: '10 000 a minute, 100 000 an hour and 1 000 000 a day, used by Zipf 7 000 times a second',
    limits: { minute: 10_000, hour: 100_000, day: 1_000_000 },
    sample: ZIPF_SAMPLE,
    perSecond: zipf,
  },
  {
    name: '600 a minute and 10 000 an hour, used 0.4 times a second',
    limits: { minute: 600, hour: 10_000 },
    sample: 20,
    perSecond: () => 2_000 / 5_000,
  },
  {
    name: '60 a minute and 1 000 a day, used 500 times a day',
    limits: { minute: 60, day: 1_000 },
    sample: 100,
    perSecond: () => 500 / 86_400,
  },
];

/** The share of admitted calls that wait for the store: in the first hour, and in the second. */
async function waits(
  replicas: number,
  profile: (typeof PROFILES)[number],
  variation?: Variation,
): Promise<[number, number]> {
  const run = new ManyReplicas(replicas, 11, variation);
  const keys = keysOf(profile.sample, profile.limits);
  run.giveBudgets(keys);
  const first = await run.run(keys, profile.perSecond, HOUR_MS);
  const second = await run.run(keys, profile.perSecond, HOUR_MS);
  expect([first.refused, second.refused]).toEqual([0, 0]);
  expect(second.admitted).toBeGreaterThan(profile.sample * 10);
  return [first.waited / first.admitted, second.waited / second.admitted];
}

describe('Admitted calls that wait for the store', () => {
  const cases = PROFILES.flatMap((profile) => [1, 3].map((replicas) => ({ ...profile, profile, replicas })));
  it.each(cases)('are under 1 %% for keys of $name, over $replicas replicas', async ({ name, profile, replicas }) => {
    const [first, second] = await waits(replicas, profile);
    const percent = (part: number): string => `${(part * 100).toFixed(2)} %`;
    console.info(`${name}, ${replicas}: ${percent(first)} in the first hour, ${percent(second)} in the second`);
    expect(second).toBeLessThan(0.01);
  });

  it('are few where many keys want permits at the same time, and statements take as long as what they ask for', async () => {
    const run = new ManyReplicas(1, 11, { options: { standAfterMs: 0 }, perWindowMs: 0.05 });
    const keys = keysOf(5_000, { minute: 60, day: 1_000 });
    const perSecond = (): number => 2_000 / keys.length;
    // By then a key has been used twice: its first use waits.
    await run.run(keys, perSecond, 10_000);
    const { admitted, waited, refused } = await run.run(keys, perSecond, 5_000);
    console.info(`5 000 keys, 2 000 calls a second: ${((waited / admitted) * 100).toFixed(2)} %`);
    expect(refused).toBe(0);
    expect(waited / admitted).toBeLessThan(0.06);
  });
});
