import { describe, expect, it } from '@jest/globals';
import { FakeRuntime } from '../test/fake-runtime.js';
import { LatchkeyProblem } from './errors.js';
import { ReservationRenewal } from './reservation-renewal.js';
import { sleep } from './runtime.js';

const problem = (status: number) => new LatchkeyProblem(status, 'CODE', 'Said no.', [], null, null, {});

/** Renewals of a reservation of 15 s; gives when each was sent. */
function renewing(answer: (runtime: FakeRuntime, timeoutMs: number) => Promise<unknown>) {
  const runtime = new FakeRuntime();
  const sentAt: number[] = [];
  const renewal = new ReservationRenewal(runtime, 15, (timeoutMs) => {
    sentAt.push(runtime.now());
    return answer(runtime, timeoutMs);
  });
  return { runtime, sentAt, renewal };
}

describe('the renewal of a reservation', () => {
  it('is sent at each third of its time to live, however late the answer comes', async () => {
    const { runtime, sentAt, renewal } = renewing((clock) => sleep(clock, 2_000));
    await runtime.advance(20_000);
    expect(sentAt).toEqual([5_000, 10_000, 15_000, 20_000]);
    renewal.stop();
  });

  it('is waited for until the next is due', async () => {
    const { runtime, sentAt, renewal } = renewing(async (clock, timeoutMs) => {
      await sleep(clock, timeoutMs);
      throw problem(503);
    });
    await runtime.advance(20_000);
    expect(sentAt).toEqual([5_000, 10_000, 15_000, 20_000]);
    renewal.stop();
  });

  it.each([
    [404, 2],
    [408, 2],
    [429, 2],
    [502, 2],
    [400, 1],
    [401, 1],
    [403, 1],
    [409, 1],
  ])('that was answered %i is sent %i times in 10 s', async (status, times) => {
    const { runtime, sentAt, renewal } = renewing(() => Promise.reject(problem(status)));
    await runtime.advance(10_000);
    expect(sentAt).toHaveLength(times);
    renewal.stop();
  });

  it('is not sent again once it was stopped, also while an answer is awaited', async () => {
    const { runtime, sentAt, renewal } = renewing((clock) => sleep(clock, 2_000));
    await runtime.advance(6_000);
    renewal.stop();
    await runtime.advance(20_000);
    expect(sentAt).toEqual([5_000]);
  });
});
