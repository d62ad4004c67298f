import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BoundedStore, type Stored } from './bounded-store.js';

describe('BoundedStore', () => {
  const entry = (bytes: number, staleAtMs = 1_000, parts: object[] = []): Stored => ({
    bytes,
    parts,
    staleAtMs,
    isGone: false,
    wasRead: false,
  });

  it('never holds more than its cap, whatever is put, read and deleted', () => {
    const act = fc.record({
      name: fc.integer({ min: 0, max: 20 }).map(String),
      bytes: fc.integer({ min: 1, max: 150 }),
      act: fc.constantFrom('put', 'find', 'delete'),
    });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
        const gone = new Set<Stored>();
        const store = new BoundedStore<Stored>(100, (one) => gone.add(one));
        const put: Stored[] = [];
        for (const { name, bytes, act } of acts) {
          if (act === 'put') {
            put.push(entry(bytes));
            store.put(name, put.at(-1)!);
          } else if (act === 'find') store.find(name, 0);
          else store.delete(name);
          expect(store.bytes).toBeLessThanOrEqual(100);
        }
        const held = put.filter(({ isGone }) => !isGone);
        expect(held).toHaveLength(store.size);
        expect(held.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(store.bytes);
        expect(held.some((one) => gone.has(one))).toBe(false);
      }),
    );
  });

  it('gives what was read a second chance', () => {
    const store = new BoundedStore<Stored>(3);
    for (const name of ['a', 'b', 'c']) store.put(name, entry(1));
    store.find('a', 0);
    store.put('d', entry(1));
    expect(['a', 'b', 'c', 'd'].filter((name) => store.find(name, 0) !== null)).toEqual(['a', 'c', 'd']);
  });

  it('does not give what is too old', () => {
    const store = new BoundedStore<Stored>(3);
    store.put('a', entry(1, 10));
    expect([store.find('a', 9) === null, store.find('a', 10) === null, store.size]).toEqual([false, true, 0]);
  });

  it('counts what several things have in common once, for as long as one of them has it', () => {
    const store = new BoundedStore<Stored>(10_000);
    const part = ['chat', 'embeddings'];
    store.put('a', entry(100, 1_000, [part]));
    const withPart = store.bytes;
    expect(withPart).toBeGreaterThan(100 + 2 * 8);
    store.put('b', entry(100, 1_000, [part]));
    expect(store.bytes).toBe(withPart + 100);
    store.delete('a');
    expect(store.bytes).toBe(withPart);
    store.delete('b');
    expect(store.bytes).toBe(0);
  });

  it('makes room for parts as for everything else', () => {
    const store = new BoundedStore<Stored>(10_000);
    for (let index = 0; index < 100; index += 1) {
      store.put(`${index}`, entry(10, 1_000, [['chat'], Buffer.alloc(500)]));
      expect(store.bytes).toBeLessThanOrEqual(10_000);
    }
    expect(store.size).toBeGreaterThan(5);
    expect(store.size).toBeLessThan(20);
  });
});
