import { describe, expect, it } from '@jest/globals';
import { Denylist } from './denylist.js';

describe('Denylist', () => {
  it('denies the kids and key ids of its lines, and nothing for an empty file', () => {
    const list = new Denylist();
    expect(list.replace('kidAAAAAAAAAAA\r\n\n# a note\n019A8B5E-1C7A-7CC3-B4A1-3A7C2F1D9E55  # whose\n')).toEqual([]);
    expect(list.denies('kidAAAAAAAAAAA', 'x')).toBe(true);
    expect(list.denies('kidaaaaaaaaaaa', 'x')).toBe(false);
    expect(list.denies('x', '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55')).toBe(true);
    expect(list.replace('')).toEqual([]);
    expect(list.denies('kidAAAAAAAAAAA', 'x')).toBe(false);
  });

  it('names lines that are neither, and heeds the others', () => {
    const list = new Denylist();
    expect(list.replace('good1\nnot good\n../etc\ngood2')).toEqual([2, 3]);
    expect([list.denies('good1', ''), list.denies('good2', ''), list.size]).toEqual([true, true, 2]);
  });
});
