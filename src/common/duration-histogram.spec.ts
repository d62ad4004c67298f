import { describe, expect, it } from '@jest/globals';
import { Metrics } from './metrics.js';

describe('a histogram of durations', () => {
  it('tells Prometheus cumulative buckets, the sum and the count of each series', async () => {
    const meters = new Metrics();
    const durations = meters.durations('latchkey_test_seconds', 'Durations of a test');
    const quick = durations.series({ route: '/quick' });
    durations.series({ route: '/never' });
    for (const seconds of [0.0001, 0.0005, 0.0006, 0.2, 60]) quick.observe(seconds);

    const lines = (await meters.registry.metrics()).split('\n');
    expect(lines).toContain('# TYPE latchkey_test_seconds histogram');
    expect(lines).toContain('latchkey_test_seconds_bucket{route="/quick",le="0.0005"} 2');
    expect(lines).toContain('latchkey_test_seconds_bucket{route="/quick",le="0.001"} 3');
    expect(lines).toContain('latchkey_test_seconds_bucket{route="/quick",le="0.1"} 3');
    expect(lines).toContain('latchkey_test_seconds_bucket{route="/quick",le="10"} 4');
    expect(lines).toContain('latchkey_test_seconds_bucket{route="/quick",le="+Inf"} 5');
    expect(lines).toContain('latchkey_test_seconds_count{route="/quick"} 5');
    expect(lines.some((line) => /^latchkey_test_seconds_sum\{route="\/quick"\} 60\.2012/.test(line))).toBe(true);
    expect(lines).toContain('latchkey_test_seconds_count{route="/never"} 0');
  });
});

describe('a tally', () => {
  it('tells every value of its label, those that never happened too, and the same when asked twice', async () => {
    const meters = new Metrics();
    const tally = meters.tally('latchkey_test_total', 'Things', 'kind', ['good', 'bad']);
    tally.count('good');
    tally.count('good');
    await meters.registry.metrics();
    const lines = (await meters.registry.metrics()).split('\n');
    expect(lines).toContain('latchkey_test_total{kind="good"} 2');
    expect(lines).toContain('latchkey_test_total{kind="bad"} 0');
  });
});
