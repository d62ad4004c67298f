import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeFrames, encodeFrame, type Frame, inBlocks } from './frames.js';

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const FRAMES: readonly Frame[] = [
  { kind: 'table', table: 'users', columns: ['id', 'naïve'] },
  { kind: 'rows', data: Buffer.from('1\ta\n2\t\\N\n') },
  { kind: 'rows', data: Buffer.alloc(0) },
  { kind: 'sequences', values: { s: ['9223372036854775807', true] } },
];

describe('Frames', () => {
  it('are read back however the stream is cut', async () => {
    const bytes = Buffer.concat(FRAMES.map(encodeFrame));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: bytes.length }), async (size) => {
        expect(await all(decodeFrames(cut(bytes, size)))).toEqual(FRAMES);
      }),
    );
  });

  it('are refused when the stream ends within one', async () => {
    const bytes = encodeFrame(FRAMES[1]!);
    await expect(all(decodeFrames(cut(bytes.subarray(0, -1), 100)))).rejects.toThrow('ends within a part');
  });

  it('gather rows without losing one', async () => {
    const rows = Buffer.from('abcdefghij');
    const blocks = await all(inBlocks(cut(rows, 1), 4));
    expect(blocks.map(String)).toEqual(['abcd', 'efgh', 'ij']);
  });
});
