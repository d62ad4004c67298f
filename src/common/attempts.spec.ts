import { describe, expect, it } from '@jest/globals';
import { Attempts } from './attempts.js';

describe('Attempts', () => {
  let nowMs = 0;
  const attempts = () => new Attempts(() => nowMs);
  const fail = () => Promise.reject(new Error('away'));

  it('fail until one succeeds', async () => {
    const work = attempts();
    expect(work.areFailing).toBe(false);
    await expect(work.run(fail)).rejects.toThrow('away');
    expect(work.areFailing).toBe(true);
    expect(await work.run(() => Promise.resolve(1))).toBe(1);
    expect(work.areFailing).toBe(false);
  });

  it('say nothing of a failure once nothing has been tried for long', async () => {
    const work = attempts();
    await expect(work.run(fail)).rejects.toThrow();
    nowMs += 10_001;
    expect(work.areFailing).toBe(false);
  });

  it('fail while one hangs, though none has ended', async () => {
    const work = attempts();
    let end!: () => void;
    const hanging = work.run(() => new Promise<void>((resolve) => (end = resolve)));
    expect(work.areFailing).toBe(false);
    nowMs += 2_001;
    expect(work.areFailing).toBe(true);
    end();
    await hanging;
    expect(work.areFailing).toBe(false);
  });
});
