import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { RepeatedLog } from './repeated-log.js';

const INTERVAL_MS = 10_000;

describe('RepeatedLog', () => {
  let lines: Record<string, unknown>[];
  const log = (burst?: number) => new RepeatedLog((fields) => lines.push(fields), burst, INTERVAL_MS);

  beforeEach(() => {
    lines = [];
    jest.useFakeTimers();
  });
  afterEach(() => void jest.useRealTimers());

  it('writes the first line when it comes, and counts its like in one line an interval', () => {
    const repeated = log();
    for (let request = 1; request <= 600; request += 1) repeated.add('away', { msg: 'away', request });
    expect(lines).toEqual([{ msg: 'away', request: 1 }]);
    jest.advanceTimersByTime(INTERVAL_MS);
    expect(lines.slice(1)).toEqual([{ msg: 'away', request: 600, repeated: 599 }]);
  });

  it('writes one line an interval while it goes on, and at once again after a quiet interval', () => {
    const repeated = log();
    for (let interval = 0; interval < 3; interval += 1) {
      for (let request = 0; request < 100; request += 1) repeated.add('away', { msg: 'away' });
      jest.advanceTimersByTime(INTERVAL_MS);
    }
    expect(lines.map(({ repeated: count }) => count)).toEqual([undefined, 99, 100, 100]);
    jest.advanceTimersByTime(INTERVAL_MS);
    repeated.add('away', { msg: 'away' });
    expect(lines.map(({ repeated: count }) => count)).toEqual([undefined, 99, 100, 100, undefined]);
  });

  it('tells kinds apart, but no more of them than are worth reading', () => {
    const repeated = log();
    for (let kind = 0; kind < 1_000; kind += 1) repeated.add(`kind ${kind}`, { msg: `kind ${kind}` });
    expect(lines).toHaveLength(33);
    jest.advanceTimersByTime(INTERVAL_MS);
    expect(lines.slice(33)).toEqual([{ msg: 'kind 999', repeated: 967 }]);
  });

  it('writes as many of a kind as it is given before it counts', () => {
    const repeated = log(3);
    for (let line = 0; line < 5; line += 1) repeated.add('bug', { msg: 'bug', line });
    expect(lines.map(({ line }) => line)).toEqual([0, 1, 2]);
    repeated.flush();
    expect(lines.at(-1)).toEqual({ msg: 'bug', line: 4, repeated: 2 });
  });
});
