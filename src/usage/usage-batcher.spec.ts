import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HandClock, settled } from '../../test/support/hand-clock.js';
import { type BatchLimits, UsageBatcher } from './usage-batcher.js';

/** A writer whose batches end when told. */
class HandWriter {
  readonly batches: { entries: readonly number[]; commit: () => void; fail: (error: Error) => void }[] = [];

  write = (entries: readonly number[]): Promise<string[]> =>
    new Promise((resolve, reject) => {
      this.batches.push({ entries, commit: () => resolve(entries.map((entry) => `did ${entry}`)), fail: reject });
    });

  get sizes(): number[] {
    return this.batches.map(({ entries }) => entries.length);
  }
}

const LIMITS: BatchLimits = {
  maxBatch: 200,
  maxShare: 40,
  maxWaitMs: 5,
  maxInFlight: 2,
  maxQueued: 1_000,
  answerWithinMs: 1_400,
};

describe('A usage batcher', () => {
  let clock: HandClock;
  let writer: HandWriter;
  let batcher: UsageBatcher<number, string>;

  beforeEach(() => {
    clock = new HandClock();
    writer = new HandWriter();
    batcher = new UsageBatcher(writer.write, clock, LIMITS);
  });

  it('writes at once when it is idle', () => {
    void batcher.submit('one', [1]);
    expect(writer.sizes).toEqual([1]);
  });

  it('writes what arrived in one turn together, at its end, and waits for nothing else', async () => {
    clock.turn = [];
    for (const entry of [1, 2, 3]) void batcher.submit('one', [entry]);
    expect(writer.sizes).toEqual([]);
    clock.endTurn();
    expect(writer.sizes).toEqual([3]);
    writer.batches[0]!.commit();
    await settled();
    void batcher.submit('one', [4]);
    clock.endTurn();
    expect(writer.sizes).toEqual([3, 1]);
  });

  it('writes what its turn has brought after it was given up, without the rest', async () => {
    clock.turn = [];
    const late = batcher.submit('one', [1]).catch((error: unknown) => error);
    await clock.advance(1_400);
    expect(await late).toMatchObject({ kind: 'unavailable' });
    void batcher.submit('one', [2]);
    clock.endTurn();
    expect(writer.batches.map(({ entries }) => entries)).toEqual([[2]]);
  });

  it('answers after the commit, never before', async () => {
    let answer: string[] | undefined;
    void batcher.submit('one', [1, 2]).then((results) => (answer = results));
    await clock.advance(1_000);
    expect(answer).toBeUndefined();
    writer.batches[0]!.commit();
    await settled();
    expect(answer).toEqual(['did 1', 'did 2']);
  });

  it('collects for at most 5 ms what comes while a batch is under way', async () => {
    void batcher.submit('one', [0]);
    for (const entry of [1, 2, 3]) void batcher.submit('one', [entry]);
    await clock.advance(4);
    expect(writer.sizes).toEqual([1]);
    await clock.advance(1);
    expect(writer.sizes).toEqual([1, 3]);
  });

  it('does not wait for more than a full batch', () => {
    void batcher.submit('one', [0]);
    void batcher.submit(
      'one',
      Array.from({ length: 200 }, (_, entry) => entry),
    );
    expect(writer.sizes).toEqual([1, 200]);
  });

  it('sends what waits as soon as the last batch under way has ended', async () => {
    void batcher.submit('one', [0]);
    void batcher.submit('one', [1]);
    writer.batches[0]!.commit();
    await settled();
    expect(writer.sizes).toEqual([1, 1]);
  });

  it('keeps no more batches under way than it may', async () => {
    void batcher
      .submit(
        'one',
        Array.from({ length: 1_000 }, (_, entry) => entry),
      )
      .catch(() => undefined);
    await clock.advance(100);
    expect(writer.sizes).toEqual([200, 200]);
    expect([batcher.inFlight, batcher.queued]).toEqual([2, 600]);
  });

  it('gives a large submission its results in order, over all of its batches', async () => {
    const entries = Array.from({ length: 450 }, (_, entry) => entry);
    const answer = batcher.submit('one', entries);
    writer.batches[1]!.commit();
    await settled();
    writer.batches[0]!.commit();
    await settled();
    writer.batches[2]!.commit();
    expect(await answer).toEqual(entries.map((entry) => `did ${entry}`));
  });

  it('refuses with 503 what does not fit into its queue, and takes more once there is room', async () => {
    const full = batcher.submit(
      'one',
      Array.from({ length: 1_000 }, (_, entry) => entry),
    );
    const second = batcher
      .submit(
        'two',
        Array.from({ length: 600 }, (_, entry) => entry),
      )
      .catch((error: unknown) => error);
    const room = batcher.submit(
      'three',
      Array.from({ length: 400 }, (_, entry) => entry),
    );
    expect(await second).toMatchObject({ kind: 'unavailable', extras: { retryAfterSeconds: 1 } });
    // What is committed below brings more batches.
    for (let batch = 0; batch < writer.batches.length; batch += 1) {
      writer.batches[batch]!.commit();
      await settled();
    }
    expect((await full).length + (await room).length).toBe(1_400);
  });

  it('answers 503 in time when a batch hangs, and goes on when it comes back', async () => {
    const hung = batcher.submit('one', [1]).catch((error: unknown) => error);
    await clock.advance(1_399);
    const later = batcher.submit('one', [2]).catch((error: unknown) => error);
    await clock.advance(1);
    expect(await hung).toMatchObject({ kind: 'unavailable' });
    writer.batches[0]!.commit();
    await settled();
    writer.batches[1]!.commit();
    expect(await later).toEqual(['did 2']);
  });

  it('holds no more than its bound while everything hangs', async () => {
    const answers = Array.from({ length: 50 }, (_, entry) =>
      batcher
        .submit(
          'one',
          Array.from({ length: 100 }, () => entry),
        )
        .catch((error: unknown) => error),
    );
    await clock.advance(1_400);
    expect((await Promise.all(answers)).every((answer) => answer instanceof Error)).toBe(true);
    expect(batcher.queued).toBe(0);
  });

  it('rejects what was in a failed batch, forgets the rest of it, and serves the others', async () => {
    const failed = batcher
      .submit(
        'one',
        Array.from({ length: 500 }, (_, entry) => entry),
      )
      .catch((error: unknown) => error);
    const other = batcher.submit('one', [7]);
    writer.batches[0]!.fail(new Error('connection lost'));
    await settled();
    writer.batches[1]!.commit();
    await settled();
    writer.batches[2]!.commit();
    expect(await failed).toEqual(new Error('connection lost'));
    expect(await other).toEqual(['did 7']);
    expect(writer.sizes).toEqual([200, 200, 1]);
  });

  it('takes a writer that gives too few results for a failure', async () => {
    const short = new UsageBatcher<number, string>(() => Promise.resolve([]), clock, LIMITS);
    await expect(short.submit('one', [1])).rejects.toThrow('another number of results');
  });

  it('answers nothing at once', async () => {
    expect(await batcher.submit('one', [])).toEqual([]);
  });

  describe('of several callers', () => {
    const many = (count: number) => Array.from({ length: count }, () => 0);

    it('takes a share of each in turn, however many of one wait', async () => {
      void batcher.submit('flood', many(500)).catch(() => undefined);
      void batcher.submit('other', [1]);
      void batcher.submit('third', [2, 3]);
      writer.batches[0]!.commit();
      writer.batches[1]!.commit();
      await settled();
      expect(writer.batches[2]!.entries).toEqual([...many(40), 1, 2, 3]);
    });

    it('has one batch of a caller under way, so that another finds a place', async () => {
      void batcher.submit('other', [1]);
      void batcher.submit('flood', many(500)).catch(() => undefined);
      await clock.advance(100);
      expect(writer.sizes).toEqual([1, 200]);
      writer.batches[0]!.commit();
      await settled();
      await clock.advance(100);
      expect(writer.sizes).toEqual([1, 200]);
      void batcher.submit('other', [2]);
      await clock.advance(5);
      expect(writer.batches.map(({ entries }) => entries).slice(2)).toEqual([[2]]);
    });

    it('gives a caller whole batches again when the others have been silent for a second', async () => {
      void batcher.submit('other', [1]);
      writer.batches[0]!.commit();
      await settled();
      await clock.advance(1_000);
      void batcher.submit('one', many(500)).catch(() => undefined);
      expect(writer.sizes).toEqual([1, 200, 200]);
    });

    it('refuses one with 429 that has half of what is free waiting, and takes what others send', async () => {
      void batcher.submit('flood', many(400)).catch(() => undefined);
      void batcher.submit('flood', many(500)).catch(() => undefined);
      const more = batcher.submit('flood', [1]).catch((error: unknown) => error);
      expect(await more).toMatchObject({
        kind: 'throttled',
        code: 'TOO_MANY_REQUESTS',
        extras: { retryAfterSeconds: 1 },
      });
      const others = Array.from({ length: 400 }, (_, other) => batcher.submit(`other ${other}`, [other]));
      for (let batch = 0; batch < writer.batches.length; batch += 1) {
        writer.batches[batch]!.commit();
        await settled();
        await clock.advance(5);
      }
      expect(await Promise.all(others)).toHaveLength(400);
    });

    it('goes on with the others when one has given up', async () => {
      void batcher.submit('slow', [1]).catch(() => undefined);
      void batcher.submit('slow', many(300)).catch(() => undefined);
      await clock.advance(1_300);
      const other = batcher.submit('other', [7]);
      await clock.advance(100);
      writer.batches[0]!.commit();
      await settled();
      expect(writer.batches[2]!.entries).toEqual([7]);
      writer.batches[2]!.commit();
      expect(await other).toEqual(['did 7']);
      expect(batcher.queued).toBe(0);
    });
  });

  it('answers every submission exactly once with its own results, whatever fails and however long it takes', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('submit' as const),
        caller: fc.constantFrom('one', 'two', 'three'),
        size: fc.integer({ min: 1, max: 450 }),
      }),
      fc.record({ kind: fc.constantFrom('commit' as const, 'fail' as const), pick: fc.nat() }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 900 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const time = new HandClock();
        const hand = new HandWriter();
        const tested = new UsageBatcher(hand.write, time, LIMITS);
        const ended = new Set<number>();
        const endings: (readonly [number[], string[] | Error])[] = [];
        let submitted = 0;
        let next = 0;
        const end = () => {
          for (const [index, batch] of hand.batches.entries()) if (!ended.has(index)) batch.commit();
        };
        for (const one of steps) {
          if (one.kind === 'submit') {
            const entries = Array.from({ length: one.size }, () => next++);
            submitted += 1;
            void tested.submit(one.caller, entries).then(
              (results) => endings.push([entries, results]),
              (error: Error) => endings.push([entries, error]),
            );
          } else if (one.kind === 'wait') await time.advance(one.ms);
          else {
            const open = hand.batches.map((_, index) => index).filter((index) => !ended.has(index));
            const index = open[one.pick % Math.max(1, open.length)];
            if (index === undefined) continue;
            ended.add(index);
            if (one.kind === 'commit') hand.batches[index]!.commit();
            else hand.batches[index]!.fail(new Error('lost'));
          }
          await settled();
          expect(tested.inFlight).toBeLessThanOrEqual(LIMITS.maxInFlight);
          expect(tested.queued).toBeLessThanOrEqual(LIMITS.maxQueued);
        }
        for (let round = 0; round < 30; round += 1) {
          end();
          await time.advance(100);
        }
        expect(endings).toHaveLength(submitted);
        expect(tested.queued + tested.inFlight).toBe(0);
        for (const [entries, results] of endings) {
          if (!(results instanceof Error)) expect(results).toEqual(entries.map((entry) => `did ${entry}`));
        }
      }),
      { numRuns: 200 },
    );
  });
});
