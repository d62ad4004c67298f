import { beforeEach, describe, expect, it } from '@jest/globals';
import type { LoadedRows, Wanted } from './loaded-records.js';
import { RecordCache } from './record-cache.js';
import { RecordLoader } from './record-loader.js';

interface Sent {
  readonly wanted: Wanted;
  readonly timeoutMs: number;
  answer(seq?: bigint, epoch?: string): Promise<void>;
  fail(): Promise<void>;
}

const NOTHING: LoadedRows = { seq: 0n, epoch: 'epoch', secrets: [], keys: [], owners: [], projects: [], roles: [] };

describe('RecordLoader', () => {
  let cache: RecordCache;
  let loader: RecordLoader;
  let soon: (() => void)[];
  let sent: Sent[];
  let nowMs: number;

  beforeEach(() => {
    [soon, sent, nowMs] = [[], [], 0];
    cache = new RecordCache();
    cache.restart('epoch', 0n);
    loader = new RecordLoader(
      cache,
      {
        monotonicMs: () => nowMs,
        soon: (run) => soon.push(run),
        fetch: (wanted, timeoutMs) =>
          new Promise((resolve, reject) =>
            sent.push({
              wanted,
              timeoutMs,
              answer: (seq = 0n, epoch = 'epoch') => settled(() => resolve({ ...NOTHING, seq, epoch })),
              fail: () => settled(() => reject(new Error('lost'))),
            }),
          ),
      },
      { maxQueued: 6, maxPerStatement: 3, maxStatements: 2, maxAttempts: 3, timeoutMs: 1_000 },
    );
  });

  const load = (kid: string) => loader.load({ name: kid, kid });
  const turn = () => settled(() => soon.splice(0).forEach((run) => run()));

  it('sends what is asked for in one turn in one statement, each name once', async () => {
    void load('a');
    void load('b');
    void load('a');
    expect(sent).toHaveLength(0);
    await turn();
    expect(sent.map(({ wanted }) => wanted.kids)).toEqual([['a', 'b']]);
  });

  it('never has more statements under way than it may, nor longer ones', async () => {
    const answers = Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(load));
    await turn();
    expect(sent.map(({ wanted }) => wanted.kids)).toEqual([
      ['a', 'b', 'c'],
      ['d', 'e', 'f'],
    ]);
    await sent[0]!.answer();
    await sent[1]!.answer();
    await answers;
    expect(loader.stats()).toEqual({ waiting: 0, statements: 0 });
  });

  it('refuses at once what would wait behind a full queue', async () => {
    const waiting = ['a', 'b', 'c', 'd', 'e', 'f'].map(load);
    await expect(load('g')).rejects.toMatchObject({ kind: 'unavailable' });
    await turn();
    for (const statement of sent) await statement.answer();
    await Promise.all(waiting);
  });

  it('loads again what a change has overtaken, and remembers what is not there', async () => {
    const answer = load('a');
    await turn();
    cache.apply([{ seq: 5n, touches: 'key', id: 'any' }]);
    await sent[0]!.answer(4n);
    expect(cache.isUnknown('a', 0)).toBe(false);
    await sent[1]!.answer(5n);
    await answer;
    expect(cache.isUnknown('a', 0)).toBe(true);
    expect(sent).toHaveLength(2);
  });

  it('answers from the third attempt though it is not kept, and lets nobody join that one', async () => {
    const first = load('a');
    await turn();
    cache.apply([{ seq: 5n, touches: 'key', id: 'any' }]);
    await sent[0]!.answer(4n);
    const joined = load('a');
    await sent[1]!.answer(4n);
    const late = load('a');
    await turn();
    await sent[2]!.answer(4n);
    await Promise.all([first, joined]);
    expect(cache.isUnknown('a', 0)).toBe(false);
    expect(sent).toHaveLength(4);
    await sent[3]!.answer(5n);
    await late;
  });

  it('answers nothing by rows of another history', async () => {
    const answer = load('a');
    const outcome = expect(answer).rejects.toMatchObject({ kind: 'unavailable' });
    await turn();
    for (let attempt = 0; attempt < 3; attempt += 1) await sent[attempt]!.answer(9n, 'other');
    await outcome;
  });

  it('gives every attempt only what is left of the time, and gives up with it', async () => {
    const outcome = expect(load('a')).rejects.toMatchObject({ kind: 'unavailable' });
    await turn();
    cache.apply([{ seq: 5n, touches: 'key', id: 'any' }]);
    nowMs = 400;
    await sent[0]!.answer(4n);
    expect(sent.map(({ timeoutMs }) => timeoutMs)).toEqual([1_000, 600]);
    nowMs = 1_000;
    await sent[1]!.answer(4n);
    await outcome;
    expect(sent).toHaveLength(2);
  });

  it('tells everybody of a failure, and starts anew with the next', async () => {
    const outcomes = Promise.allSettled([load('a'), load('b')]);
    await turn();
    await sent[0]!.fail();
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const again = load('a');
    await turn();
    await sent[1]!.answer();
    await again;
  });
});

/** Does something, and lets every promise go on that can. */
async function settled(act: () => void): Promise<void> {
  act();
  for (let time = 0; time < 10; time += 1) await Promise.resolve();
}
