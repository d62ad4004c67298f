import { describe, expect, it } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import { HashingSlots } from './hashing-slots.js';

/** Hashes that end when the test says so. */
function hashes() {
  const running: (() => void)[] = [];
  const state = { started: 0, atOnce: 0, most: 0 };
  const hash = async (): Promise<void> => {
    state.started += 1;
    state.atOnce += 1;
    state.most = Math.max(state.most, state.atOnce);
    await new Promise<void>((resolve) => running.push(resolve));
    state.atOnce -= 1;
  };
  const endOne = async (): Promise<void> => {
    running.shift()?.();
    await turn();
  };
  return { hash, state, endOne };
}

describe('HashingSlots', () => {
  it('runs two at the same time, and every other one after them', async () => {
    const { hash, state, endOne } = hashes();
    const slots = new HashingSlots();
    const all = Array.from({ length: 20 }, () => slots.run('unknown', hash));
    await turn();
    expect(state).toMatchObject({ started: 2, most: 2 });
    expect(slots.queued).toBe(18);
    for (let ended = 0; ended < 20; ended += 1) await endOne();
    await Promise.all(all);
    expect(state).toMatchObject({ started: 20, atOnce: 0, most: 2 });
  });

  it('refuses what finds no room in the queue, and lets a known browser in all the same, before the others', async () => {
    const { hash, endOne } = hashes();
    const slots = new HashingSlots(1, 2);
    const order: string[] = [];
    const run = (name: string, priority: 'known' | 'unknown') =>
      slots.run(priority, async () => {
        order.push(name);
        await hash();
      });
    const waiting = [run('first', 'unknown'), run('second', 'unknown'), run('third', 'unknown')];
    await expect(run('fourth', 'unknown')).rejects.toMatchObject({
      kind: 'unavailable',
      extras: { retryAfterSeconds: 1 },
    });
    waiting.push(run('owner', 'known'));
    for (let ended = 0; ended < 4; ended += 1) await endOne();
    await Promise.all(waiting);
    expect(order).toEqual(['first', 'owner', 'second', 'third']);
  });

  it('gives the slot of a hash that failed to the next', async () => {
    const slots = new HashingSlots(1, 1);
    await expect(slots.run('unknown', () => Promise.reject(new Error('no memory')))).rejects.toThrow('no memory');
    expect(await slots.run('unknown', () => Promise.resolve('next'))).toBe('next');
  });
});
