import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Periodic } from './periodic.js';

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(1);
}

/** Work whose rounds end when they are told to. */
class Rounds {
  begun = 0;
  private end: () => void = () => undefined;

  readonly work = (): Promise<void> => {
    this.begun += 1;
    return new Promise((resolve) => (this.end = resolve));
  };

  endOne(): void {
    this.end();
  }
}

describe('Periodic', () => {
  it('begins a round again and again', async () => {
    let rounds = 0;
    const periodic = new Periodic(1, () => (rounds += 1)).start();
    await until(() => rounds >= 3);
    await periodic.stop();
  });

  it('leaves out rounds that are due while one is under way', async () => {
    const rounds = new Rounds();
    const periodic = new Periodic(1, rounds.work).start();
    await until(() => rounds.begun === 1);
    await sleep(30);
    expect(rounds.begun).toBe(1);
    rounds.endOne();
    await until(() => rounds.begun === 2);
    rounds.endOne();
    await periodic.stop();
  });

  it('gives the round that is under way to who asks for one now', async () => {
    const rounds = new Rounds();
    const periodic = new Periodic(60_000, rounds.work);
    const both = [periodic.run(), periodic.run()];
    expect(rounds.begun).toBe(1);
    rounds.endOne();
    await Promise.all(both);
    const next = periodic.run();
    expect(rounds.begun).toBe(2);
    rounds.endOne();
    await next;
  });

  it('ends when the round that is under way has ended, and begins no other', async () => {
    const rounds = new Rounds();
    const periodic = new Periodic(1, rounds.work).start();
    await until(() => rounds.begun === 1);
    let isStopped = false;
    const stopping = periodic.stop().then(() => (isStopped = true));
    await sleep(10);
    expect(isStopped).toBe(false);
    rounds.endOne();
    await stopping;
    await sleep(30);
    expect(rounds.begun).toBe(1);
  });

  it('goes on after a round that failed', async () => {
    let rounds = 0;
    const periodic = new Periodic(60_000, () => {
      rounds += 1;
      throw new Error('once');
    });
    await expect(periodic.run()).rejects.toThrow('once');
    await expect(periodic.run()).rejects.toThrow('once');
    expect(rounds).toBe(2);
  });
});
