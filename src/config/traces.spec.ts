import { describe, expect, it } from '@jest/globals';
import { ConfigError, loadConfig } from './config.js';
import { drawSecrets } from './generated-secrets.js';
import { parseTracesHeaders } from './traces.js';

const load = (env: Record<string, string>) => loadConfig({ ...drawSecrets(), ...env }, 'refuse');

describe('TRACES_HEADERS', () => {
  it('is a list of name=value, whose values may have an equals sign', () => {
    expect(parseTracesHeaders('authorization=Bearer a=b, X-Tenant=keys')).toEqual({
      authorization: 'Bearer a=b',
      'x-tenant': 'keys',
    });
  });

  it.each(['authorization', 'a b=c', '=c', 'a=', 'a=b,', 'a=b\r\nc: d'])('is not %j', (text) => {
    expect(parseTracesHeaders(text)).toBeNull();
  });
});

describe('Traces', () => {
  it.each([
    [{ TRACES_HEADERS: 'a=b' }, 'TRACES_HEADERS needs TRACES_URL'],
    [{ TRACES_URL: 'localhost:4318' }, 'TRACES_URL must be a URL that starts with http:// or https://'],
    [{ TRACES_URL: 'https://me:secret@collector.test/v1/traces' }, 'TRACES_URL must have no user and no password'],
    [{ TRACES_SAMPLE_RATIO: '1.5' }, 'TRACES_SAMPLE_RATIO must be a number from 0 to 1'],
    [{ TRACES_SAMPLE_RATIO: '10%' }, 'TRACES_SAMPLE_RATIO must be a number from 0 to 1'],
  ])('are refused with %j', (env, sentence) => {
    expect(() => load(env as unknown as Record<string, string>)).toThrow(ConfigError);
    expect(() => load(env as unknown as Record<string, string>)).toThrow(sentence);
  });
});
