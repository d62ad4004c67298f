import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { LEDGER_DEFAULTS } from '../../src/quotas/lease-manager-options.js';

const read = (path: string) =>
  readFileSync(new URL(`../../${path}`, `file://${import.meta.dirname}/`), 'utf8').replaceAll(/\s+/g, ' ');
const SIZING = 'docs/sizing.md';
const OUTAGES = 'docs/high-availability.md';

/** What a page plans with, and the page where it was measured. */
const QUOTED: readonly (readonly [string, string, readonly string[]])[] = [
  [SIZING, 'docs/performance.md', ['11 286/s', '6 938/s', '23 680', '70 to 110 µs', '1.3 kB of WAL', '1 153 MB']],
  [SIZING, 'docs/operations.md', ['70 to 110 µs', '45 µs', '74 µs', '160 MB', 'up to 32 sessions in PostgreSQL']],
  [SIZING, 'docs/performance-lists.md', ['135 ms', '1.6 GB']],
  [
    OUTAGES,
    'docs/guarantees.md',
    ['5 kills and 5 switchovers', '57 489 calls admitted', '9 335 revocations', '0.5 s (kill)', '0.3 s (switchover)'],
  ],
  [OUTAGES, 'docs/guarantees.md', ['a promotion that lacks 5 acknowledged changes', '10.4 s']],
];

describe('Figures that a page takes from another one', () => {
  it.each(QUOTED)('%s has them as %s', (page, source, figures) => {
    const texts = [read(page), read(source)];
    expect(figures.filter((figure) => !texts.every((text) => text.includes(figure)))).toEqual([]);
  });

  it('plan for half of what was reached, and for one replica more than are needed', () => {
    const text = read(SIZING);
    const planned = [...text.matchAll(/plan (\d \d+) a second and core, half of what was reached \((\d+ \d+)\/s\)/g)];
    const numbers = planned.map((found) => found.slice(1).map((number) => Number(number.replace(' ', ''))));
    expect(numbers.length).toBe(2);
    for (const [plan, reached] of numbers) expect(Math.abs(plan! / (reached! / 2) - 1)).toBeLessThan(0.05);
    const needed = numbers.map(([plan]) => [1_000, 10_000, 100_000].map((rate) => Math.ceil(rate / plan!) + 1));
    const rows = [...text.matchAll(/\| (?:1 000|10 000|100 000, calculated: not tried) \| (\d+)/g)].slice(0, 3);
    expect(rows.map(([, replicas]) => Number(replicas))).toEqual(needed[0]);
    expect(text).toContain(`by Zipf, plan ${needed[1]!.join(', ').replace(/, (\d+)$/, ' and $1')}.`);
  });

  it('have the bound of leases that a replica has', () => {
    expect(read(SIZING)).toContain(`leases for ${LEDGER_DEFAULTS.maxEntries / 1_000} 000 keys`);
  });
});
