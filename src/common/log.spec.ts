import { describe, expect, it } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { destination } from 'pino';
import { LogOutput } from './log.js';

describe('LogOutput', () => {
  const started = () => {
    const output = new LogOutput();
    const stream = Object.assign(new EventEmitter(), { write: () => true });
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

  it('writes what waits once there is room, though nothing more is logged', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-log-'));
    const output = new LogOutput();
    const stream = destination({ dest: openSync('/dev/full', 'w'), sync: true, maxLength: 20 });
    const told: number[] = [];
    output.follow(stream, (lines) => told.push(lines));
    for (const line of ['first line\n', 'second\n', 'dropped\n']) stream.write(line);
    expect([output.isFailing, output.dropped]).toEqual([true, 1]);
    const path = join(directory, 'log');
    // As when there is room again: the next write goes to a file that takes it.
    (stream as unknown as { fd: number }).fd = openSync(path, 'w');
    for (let look = 0; look < 200 && output.isFailing; look += 1) await sleep(20);
    await nextTurn();
    expect(readFileSync(path, 'utf8')).toBe('first line\nsecond\n');
    expect(told).toEqual([1]);
    await rm(directory, { recursive: true });
  });
});
