import { describe, expect, it } from '@jest/globals';
import { closeFloors, floor, floorsOfKinds, missedFloors } from './floors.js';

describe('floors', () => {
  it('are met by as much as is needed', () => {
    expect(missedFloors([floor('calls', 3, 3)])).toEqual([]);
  });

  it('are missed by less', () => {
    expect(missedFloors([floor('calls', 2, 3), floor('keys', 5, 3)])).toEqual([
      'nothing was shown: calls: 2, at least 3 are needed',
    ]);
  });

  it('are told where less than twice as much happened, unless it was just so often', () => {
    expect(closeFloors([floor('calls', 5, 3), floor('keys', 6, 3), floor('kills', 3, 3), floor('lost', 2, 3)])).toEqual(
      ['calls: 5, at least 3 are needed'],
    );
  });

  it.each([
    ['of zero', 3, 0],
    ['below zero', 3, -1],
    ['that are no number', 3, Number.NaN],
    ['of which nothing is known', Number.NaN, 3],
  ])('%s are missed', (_, got, atLeast) => {
    expect(missedFloors([floor('calls', got, atLeast)])).toHaveLength(1);
  });

  it('of kinds are those of each kind, of such as never happened too', () => {
    expect(floorsOfKinds('made:', ['a', 'b'], new Map([['a', 4]]), 2)).toEqual([
      floor('made: a', 4, 2),
      floor('made: b', 0, 2),
    ]);
    expect(() => floorsOfKinds('made:', [], new Map(), 2)).toThrow('no kind');
  });
});
