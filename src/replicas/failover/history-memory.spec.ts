import { describe, expect, it } from '@jest/globals';
import type { FeedRow } from '../../key-cache/records/change.js';
import { HistoryMemory, MOST_REMEMBERED } from './history-memory.js';

function row(seq: number, fields: Partial<FeedRow> = {}): FeedRow {
  return {
    seq: BigInt(seq),
    id: `id-${seq}`,
    atMs: seq,
    action: 'api-keys:update',
    resourceType: 'api-key',
    resourceId: 'key',
    outcome: 'success',
    hasChanges: true,
    endings: null,
    ...fields,
  };
}

describe('the memory of a history', () => {
  it('keeps changes, and neither reads nor refusals', () => {
    const memory = new HistoryMemory();
    memory.note([
      row(1),
      row(2, { action: 'api-keys:read' }),
      row(3, { outcome: 'refused' }),
      row(4, { action: 'auth:login' }),
    ]);
    expect(memory.take().map(({ seq }) => seq)).toEqual([1n, 4n]);
    expect(memory.take()).toEqual([]);
  });

  it('keeps the newest of many', () => {
    const memory = new HistoryMemory();
    for (let seq = 1; seq <= MOST_REMEMBERED + 5; seq += 1) memory.note([row(seq)]);
    const seqs = memory.take().map(({ seq }) => seq);
    expect([seqs.length, seqs[0], seqs.at(-1)]).toEqual([MOST_REMEMBERED, 6n, BigInt(MOST_REMEMBERED + 5)]);
  });

  it('puts older rows before those that were noted first, each once', () => {
    const memory = new HistoryMemory();
    memory.note([row(5), row(6)]);
    memory.noteOlder([row(3), row(4), row(5)]);
    expect(memory.take().map(({ seq }) => seq)).toEqual([3n, 4n, 5n, 6n]);
  });
});
