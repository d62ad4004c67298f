import { describe, expect, it } from '@jest/globals';
import { deviceOf } from './user-agent.js';

describe('a device', () => {
  it.each([
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox 140 on Linux'],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
      'Chrome 141 on Windows',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0',
      'Edge 141 on Windows',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15',
      'Safari 18 on macOS',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1',
      'Safari 18 on iOS',
    ],
    [
      'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36',
      'Chrome 141 on Android',
    ],
    ['curl/8.5.0', 'curl/8.5.0'],
    ['node', 'node'],
    ['python-requests/2.32 extra words', 'python-requests/2.32'],
  ])('%s is %s', (userAgent, device) => expect(deviceOf(userAgent)).toBe(device));

  it.each([undefined, '', '   ', '\u0000\u0007'])('is unknown for %j', (userAgent) =>
    expect(deviceOf(userAgent)).toBeNull(),
  );

  it('is short whatever the client sends', () => {
    expect(deviceOf('x'.repeat(20_000))).toHaveLength(60);
    expect(deviceOf(`Firefox/${'9'.repeat(20_000)}`)).toBe('Firefox 9999');
  });
});
