import { describe, expect, it } from '@jest/globals';
import { hasPromtool, promtool } from '../support/prometheus.js';

(hasPromtool() ? describe : describe.skip)('promtool', () => {
  it('takes the rules', () => {
    expect(promtool(['check', 'rules', 'alerts.yaml'])).toEqual({
      ok: true,
      output: expect.stringContaining('SUCCESS'),
    });
  });

  it('lets each alert fire when its test says so, and not before', () => {
    expect(promtool(['test', 'rules', 'alerts.test.yaml'])).toEqual({
      ok: true,
      output: expect.stringContaining('SUCCESS'),
    });
  }, 120_000);
});
