import { describe, expect, it } from '@jest/globals';
import { type SeriesStep, lineOf, linesByModel } from './usage-series.js';

const starts = [0, 1, 2].map((hour) => new Date(Date.UTC(2026, 10, 21, hour)));
const step = (hour: number, model: string | null, cost: number, requests = 1): SeriesStep => ({
  at: starts[hour]!,
  model,
  sums: { requests: BigInt(requests), inputTokens: 2n, outputTokens: 3n, costMicroCents: BigInt(cost) * 1_000_000n },
});

describe('A series', () => {
  it('has every step, those without usage as zero', () => {
    const { points } = lineOf([step(1, null, 5)], starts);
    expect(
      points.map(({ at, requests, totalTokens, costCents }) => [at.getUTCHours(), requests, totalTokens, costCents]),
    ).toEqual([
      [0, 0, 0, 0],
      [1, 1, 5, 5],
      [2, 0, 0, 0],
    ]);
  });

  it('has a line a model, the dearest first, usage without a model among them', () => {
    const lines = linesByModel(
      [step(0, 'small', 1), step(1, 'large', 9), step(2, 'small', 1), step(2, null, 4)],
      starts,
    );
    expect(lines.map(({ model, points }) => [model, points.map(({ costCents }) => costCents)])).toEqual([
      ['large', [0, 9, 0]],
      [null, [0, 0, 4]],
      ['small', [1, 0, 1]],
    ]);
  });

  it('adds up the models beyond the fiftieth in a last line', () => {
    const lines = linesByModel(
      Array.from({ length: 53 }, (_, index) => step(0, `m${index}`, 100 - index)),
      starts,
    );
    expect(lines).toHaveLength(51);
    expect(lines[50]).toMatchObject({
      model: null,
      isRest: true,
      points: [{ requests: 3, costCents: 50 + 49 + 48 }, { requests: 0 }, { requests: 0 }],
    });
  });
});
