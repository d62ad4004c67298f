import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HandClock, settled } from '../../test/support/hand-clock.js';
import { GroupCommit, type GroupCommitLimits, type WaitingItems } from './group-commit.js';

const ROWS = 3;
const PATIENT: GroupCommitLimits = { maxWaitMs: 20, waitsWhenIdle: true, minGapMs: 20, pauseMs: 1_000, maxInFlight: 1 };
const EAGER: GroupCommitLimits = { maxWaitMs: 5, waitsWhenIdle: false, minGapMs: 0, pauseMs: 0, maxInFlight: 2 };

/** First in, first out, up to three in a batch. */
class Line implements WaitingItems<number> {
  private waiting: { item: number; sinceMs: number }[] = [];

  constructor(private readonly clock: HandClock) {}

  get size(): number {
    return this.waiting.length;
  }

  add(...items: number[]): void {
    this.waiting.push(...items.map((item) => ({ item, sinceMs: this.clock.monotonicMs() })));
  }

  ready(): { isFull: boolean; sinceMs: number } | null {
    const [first] = this.waiting;
    return first === undefined ? null : { isFull: this.size >= ROWS, sinceMs: first.sinceMs };
  }

  take(): number[] {
    return this.waiting.splice(0, ROWS).map(({ item }) => item);
  }
}

interface Commit {
  readonly batch: readonly number[];
  readonly startedMs: number;
  endedMs: number | null;
  hasFailed: boolean;
  readonly end: (failure?: Error) => void;
}

/** A group commit whose commits end when told. */
class Scene {
  readonly clock = new HandClock();
  readonly line = new Line(this.clock);
  readonly commits: Commit[] = [];
  readonly group: GroupCommit<number>;

  constructor(limits: GroupCommitLimits) {
    this.group = new GroupCommit(this.line, (batch) => this.write(batch), this.clock, limits);
  }

  add(...items: number[]): void {
    this.line.add(...items);
    this.group.added();
  }

  get batches(): (readonly number[])[] {
    return this.commits.map(({ batch }) => batch);
  }

  get open(): Commit[] {
    return this.commits.filter(({ endedMs }) => endedMs === null);
  }

  async end(commit: Commit, failure?: Error): Promise<void> {
    commit.endedMs = this.clock.monotonicMs();
    commit.hasFailed = failure !== undefined;
    commit.end(failure);
    await settled();
  }

  private write(batch: readonly number[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (failure?: Error) => (failure === undefined ? resolve() : reject(failure));
      this.commits.push({ batch, startedMs: this.clock.monotonicMs(), endedMs: null, hasFailed: false, end });
    });
  }
}

describe('A group commit that leaves room between its commits', () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene(PATIENT);
  });

  it('waits for company, from the first item on', async () => {
    scene.add(1);
    await scene.clock.advance(10);
    scene.add(2);
    await scene.clock.advance(9);
    expect(scene.batches).toEqual([]);
    await scene.clock.advance(1);
    expect(scene.batches).toEqual([[1, 2]]);
  });

  it('begins at once when a batch is full', () => {
    scene.add(1, 2, 3, 4);
    expect(scene.batches).toEqual([[1, 2, 3]]);
  });

  it('has one commit under way, and leaves the gap between two starts', async () => {
    scene.add(1, 2, 3, 4);
    await scene.clock.advance(1_000);
    expect([scene.batches.length, scene.group.inFlight]).toEqual([1, 1]);
    await scene.end(scene.commits[0]!);
    expect(scene.batches).toEqual([[1, 2, 3], [4]]);
    await scene.end(scene.commits[1]!);
    scene.add(5, 6, 7);
    await scene.clock.advance(19);
    expect(scene.batches).toHaveLength(2);
    await scene.clock.advance(1);
    expect(scene.batches[2]).toEqual([5, 6, 7]);
  });

  it('pauses after one that failed, then goes on', async () => {
    scene.add(1, 2, 3);
    await scene.end(scene.commits[0]!, new Error('away'));
    scene.add(4, 5, 6);
    await scene.clock.advance(999);
    expect(scene.batches).toHaveLength(1);
    await scene.clock.advance(1);
    expect(scene.batches[1]).toEqual([4, 5, 6]);
  });

  it('takes a writer that throws for one that failed', async () => {
    const line = new Line(scene.clock);
    let calls = 0;
    const write = () => {
      calls += 1;
      throw new Error('at once');
    };
    const group = new GroupCommit(line, write, scene.clock, PATIENT);
    line.add(1, 2, 3, 4, 5, 6);
    group.added();
    await scene.clock.advance(999);
    expect(calls).toBe(1);
    await scene.clock.advance(1);
    expect([calls, group.inFlight]).toEqual([2, 0]);
  });

  it('commits what waits when it is closed, after the one under way and without waiting for company', async () => {
    scene.add(1, 2, 3, 4, 5, 6, 7);
    const closed = scene.group.close(1_000);
    await settled();
    expect(scene.batches).toEqual([[1, 2, 3]]);
    for (let index = 0; index < 3; index += 1) await scene.end(scene.commits[index]!);
    await closed;
    expect(scene.batches).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
    scene.add(8, 9, 10);
    await scene.clock.advance(5_000);
    expect(scene.batches).toHaveLength(3);
  });

  it('leaves what waits when its time to close is over', async () => {
    scene.add(1, 2, 3, 4, 5, 6);
    const closed = scene.group.close(1_000);
    await scene.clock.advance(1_000);
    await scene.end(scene.commits[0]!);
    await closed;
    expect([scene.batches, scene.line.size]).toEqual([[[1, 2, 3]], 3]);
  });
});

describe('A group commit that waits for nothing when it is idle', () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene(EAGER);
  });

  it('begins at the end of the turn, with all that arrived in it', () => {
    scene.clock.turn = [];
    scene.add(1);
    scene.add(2);
    expect(scene.batches).toEqual([]);
    scene.clock.endTurn();
    expect(scene.batches).toEqual([[1, 2]]);
  });

  it('waits for company while another is under way, and has no more under way than it may', async () => {
    scene.add(1);
    scene.add(2);
    await scene.clock.advance(4);
    expect(scene.batches).toEqual([[1]]);
    await scene.clock.advance(1);
    scene.add(3, 4, 5);
    await scene.clock.advance(1_000);
    expect([scene.batches, scene.group.inFlight]).toEqual([[[1], [2]], 2]);
    await scene.end(scene.commits[1]!);
    expect(scene.batches[2]).toEqual([3, 4, 5]);
  });
});

type Step = { kind: 'add'; count: number } | { kind: 'commit' | 'fail'; pick: number } | { kind: 'wait'; ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), count: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constantFrom('commit' as const, 'fail' as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60 }) }),
);

async function play(scene: Scene, steps: readonly Step[]): Promise<number> {
  let added = 0;
  for (const one of steps) {
    if (one.kind === 'add') scene.add(...Array.from({ length: one.count }, () => added++));
    else if (one.kind === 'wait') await scene.clock.advance(one.ms);
    else if (scene.open.length > 0)
      await scene.end(scene.open[one.pick % scene.open.length]!, one.kind === 'fail' ? new Error('lost') : undefined);
    await settled();
  }
  return added;
}

/** Every commit ends, and everything that waits is committed: a thousand rounds are more than it can take. */
async function finish(scene: Scene): Promise<void> {
  for (let round = 0; round < 1_000 && (scene.line.size > 0 || scene.open.length > 0); round += 1) {
    for (const commit of scene.open) await scene.end(commit);
    await scene.clock.advance(100);
  }
}

/** What is wrong with the times of these commits. */
function mistimed(commits: readonly Commit[], { minGapMs, pauseMs, maxInFlight }: GroupCommitLimits): string[] {
  return commits.flatMap((commit, index) => {
    const others = commits.slice(0, index);
    const open = others.filter(({ endedMs }) => endedMs === null || endedMs > commit.startedMs);
    const failures = others.flatMap(({ hasFailed, endedMs }) => (hasFailed ? [endedMs!] : []));
    const isIn = (endedMs: number) => endedMs < commit.startedMs && commit.startedMs < endedMs + pauseMs;
    return [
      ...(commit.batch.length > ROWS || commit.batch.length === 0 ? [`${index}: ${commit.batch.length} items`] : []),
      ...(open.length >= maxInFlight ? [`${index}: ${open.length} others are under way`] : []),
      ...(index > 0 && commit.startedMs < commits[index - 1]!.startedMs + minGapMs ? [`${index}: too soon`] : []),
      ...(failures.some(isIn) ? [`${index}: in a pause`] : []),
    ];
  });
}

describe.each([
  ['with gaps and pauses', PATIENT],
  ['without', EAGER],
])('Whatever comes and fails, a group commit %s', (_name, limits) => {
  it('commits every item once, in order, within its bounds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const scene = new Scene(limits);
        const added = await play(scene, steps);
        await finish(scene);
        expect(scene.batches.flat()).toEqual(Array.from({ length: added }, (_, item) => item));
        expect(mistimed(scene.commits, limits)).toEqual([]);
        expect(scene.group.inFlight).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('commits what nothing is in the way of in time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const scene = new Scene(limits);
        await play(scene, steps);
        await finish(scene);
        await scene.clock.advance(limits.pauseMs + limits.minGapMs);
        const before = scene.commits.length;
        scene.add(-1);
        await scene.clock.advance(limits.waitsWhenIdle ? limits.maxWaitMs : 0);
        expect(scene.commits.slice(before).map(({ batch }) => batch)).toEqual([[-1]]);
      }),
      { numRuns: 100 },
    );
  });
});
