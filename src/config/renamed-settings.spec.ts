import { describe, expect, it } from '@jest/globals';
import { StartRefusal } from '../common/start-refusal.js';
import { loadConfig } from './config.js';
import { withRenamedSettings } from './renamed-settings.js';

describe('settings under the names of the first release', () => {
  it.each([
    ['DEFAULT_HOLD_CENTS', '5', 'DEFAULT_RESERVATION_CENTS', '5'],
    ['STALE_MAX_SECONDS', '7', 'MAX_STALENESS_SECONDS', '7'],
    ['RATE_FALLBACK', 'share', 'RATE_LIMIT_FALLBACK', 'local-share'],
    ['RATE_FALLBACK', 'closed', 'RATE_LIMIT_FALLBACK', 'deny'],
    ['MAX_REPLICAS', '4', 'RATE_LIMIT_FALLBACK_REPLICAS', '4'],
  ])('reads %s=%s as %s=%s, and says so', (before, old, name, value) => {
    const { variables, warnings } = withRenamedSettings({ [before]: old });
    expect(variables[name]).toBe(value);
    expect(warnings).toEqual([
      `${before} is called ${name} now: write ${name}=${value}. The next release does not read ${before}`,
    ]);
  });

  it('takes both where they say the same', () => {
    const { variables } = withRenamedSettings({ RATE_FALLBACK: 'share', RATE_LIMIT_FALLBACK: 'local-share' });
    expect(variables['RATE_LIMIT_FALLBACK']).toBe('local-share');
  });

  it('refuses both where they differ, and names each', () => {
    const both = {
      STALE_MAX_SECONDS: '7',
      MAX_STALENESS_SECONDS: '8',
      MAX_REPLICAS: '2',
      RATE_LIMIT_FALLBACK_REPLICAS: '3',
    };
    expect(() => withRenamedSettings(both)).toThrow(
      new StartRefusal(
        'STALE_MAX_SECONDS and MAX_STALENESS_SECONDS are both set, and differ: remove STALE_MAX_SECONDS, the name of earlier releases\n' +
          'MAX_REPLICAS and RATE_LIMIT_FALLBACK_REPLICAS are both set, and differ: remove MAX_REPLICAS, the name of earlier releases',
      ),
    );
  });

  it('leaves other settings alone, and warns of nothing', () => {
    const variables = { PORT: '3000', MAX_STALENESS_SECONDS: '8' };
    expect(withRenamedSettings(variables)).toEqual({ variables, warnings: [] });
  });

  it('reach the configuration with their warnings', () => {
    const secret = (name: string) => `${name}-0123456789-abcdefghijklmnopqrstuvwxyz`;
    const config = loadConfig({
      JWT_SECRET: secret('jwt'),
      API_KEY_PEPPERS: `1:${secret('pepper')}`,
      TAG_KEYS: `1:${secret('tag')}`,
      RESERVATION_KEY: secret('reservation'),
      AUDIT_KEY: secret('audit'),
      STALE_MAX_SECONDS: '7',
    });
    expect(config.maxStalenessSeconds).toBe(7);
    expect(config.warnings).toHaveLength(1);
  });
});
