import { describe, expect, it } from '@jest/globals';
import { ReplicaWatch } from './replica-watch.js';

const SILENT_MS = 31_000;
const GAP_MS = 3_000;

function row(id: string, appliedSeq: number, beat: number) {
  return { id, appliedSeq: BigInt(appliedSeq), beat: String(beat) };
}

describe('ReplicaWatch', () => {
  it('names those that have not applied a change', () => {
    const watch = new ReplicaWatch(SILENT_MS, GAP_MS);
    watch.observe([row('a', 5, 1), row('b', 4, 1)], 0);
    expect(watch.laggards(5n, 0)).toEqual(['b']);
    watch.observe([row('a', 5, 1), row('b', 5, 2)], 10);
    expect(watch.laggards(5n, 10)).toEqual([]);
  });

  it('gives up a replica that has been silent for long enough while it looked, and not a moment sooner', () => {
    const watch = new ReplicaWatch(SILENT_MS, GAP_MS);
    for (let nowMs = 0; nowMs <= SILENT_MS; nowMs += 1_000) {
      watch.observe([row('dead', 1, 1)], nowMs);
      expect(watch.laggards(2n, nowMs)).toEqual(['dead']);
    }
    watch.observe([row('dead', 1, 1)], SILENT_MS + 1);
    expect(watch.laggards(2n, SILENT_MS + 1)).toEqual([]);
    expect(watch.live(SILENT_MS + 1)).toEqual([]);
  });

  it('does not count a time in which it did not look itself', () => {
    const watch = new ReplicaWatch(SILENT_MS, GAP_MS);
    watch.observe([row('a', 1, 1)], 0);
    watch.observe([row('a', 1, 1)], 60_000);
    expect(watch.laggards(2n, 60_000)).toEqual(['a']);
  });

  it('counts from anew when nobody could write', () => {
    const watch = new ReplicaWatch(SILENT_MS, GAP_MS);
    for (let nowMs = 0; nowMs <= 30_000; nowMs += 1_000) watch.observe([row('a', 1, 1)], nowMs);
    watch.forgive(30_000);
    for (let nowMs = 31_000; nowMs <= 60_000; nowMs += 1_000) watch.observe([row('a', 1, 1)], nowMs);
    expect(watch.laggards(2n, 60_000)).toEqual(['a']);
  });

  it('forgets a replica that has left', () => {
    const watch = new ReplicaWatch(SILENT_MS, GAP_MS);
    watch.observe([row('a', 1, 1), row('b', 2, 1)], 0);
    watch.observe([row('b', 2, 2)], 10);
    expect(watch.laggards(9n, 10)).toEqual(['b']);
    expect(watch.silentFor(0, 20)).toEqual(['b']);
  });
});
