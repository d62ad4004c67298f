import { describe, expect, it } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LogOutput } from './log.js';

describe('LogOutput', () => {
  const started = () => {
    const output = new LogOutput();
    const stream = new EventEmitter();
    const told: number[] = [];
    output.follow(stream, (lines) => told.push(lines));
    return { output, stream, told };
  };

  it('is failing from a write that fails to one that succeeds', () => {
    const { output, stream } = started();
    expect(output.isFailing).toBe(false);
    stream.emit('error', new Error('ENOSPC'));
    expect(output.isFailing).toBe(true);
    stream.emit('write', 10);
    expect(output.isFailing).toBe(false);
  });

  it('tells once how many lines were dropped, when lines are taken again', async () => {
    const { output, stream, told } = started();
    stream.emit('error', new Error('ENOSPC'));
    for (let line = 0; line < 3; line += 1) stream.emit('drop', 'line');
    expect(output.dropped).toBe(3);
    stream.emit('write', 10);
    stream.emit('write', 10);
    await nextTurn();
    expect(told).toEqual([3]);
  });

  it('tells nothing while there was room for a part only, nor when nothing was dropped', async () => {
    const { stream, told } = started();
    stream.emit('error', new Error('ENOSPC'));
    stream.emit('drop', 'line');
    stream.emit('write', 10);
    stream.emit('error', new Error('ENOSPC'));
    await nextTurn();
    expect(told).toEqual([]);
    stream.emit('write', 10);
    await nextTurn();
    stream.emit('error', new Error('ENOSPC'));
    stream.emit('write', 10);
    await nextTurn();
    expect(told).toEqual([1]);
  });
});
