import { beforeAll, describe, expect, it } from '@jest/globals';
import { Metrics } from '../../../src/common/metrics.js';
import { type Answer, TestApp } from '../../support/app.js';
import { issueServiceKey } from '../../support/management.js';

/** Every case of these is run with the short cut and without it. */
const SPECS = [
  'verification/verify',
  'verification/verify-batch',
  'usage/report',
  'usage/settle',
  'verification/limits',
];
const SHORT = new Set(['/verify', '/verify/batch', '/usage']);
const MODES = ['on', 'off'] as const;
type Mode = (typeof MODES)[number];

/** Names of headers, by path, status and code: each case asserts its body itself, and some ask until a fact holds. */
type Transcript = Map<string, Set<string>>;
const transcripts: Record<Mode, Transcript> = { on: new Map(), off: new Map() };
const answered: Record<Mode, number> = { on: 0, off: 0 };

/** The admin reports through a service of theirs: a session never takes the short cut. */
const services = new WeakMap<TestApp, Map<string, Promise<string | null>>>();

function serviceOf(app: TestApp, token: string): Promise<string | null> {
  const known = services.get(app) ?? new Map<string, Promise<string | null>>();
  services.set(app, known);
  const service =
    known.get(token) ??
    issueServiceKey(app, token)
      .then(({ secret }) => secret)
      .catch(() => null);
  known.set(token, service);
  return service;
}

function note(mode: Mode, path: string, { status, headers, body }: Answer): void {
  // Of a machine that is too busy.
  if (status === 503 || (status === 429 && path === '/usage')) return;
  const answer = `${path} ${status} ${body.code ?? ''}`;
  const noted = transcripts[mode].get(answer) ?? new Set<string>();
  transcripts[mode].set(answer, noted.add([...headers.keys()].sort().join(' ')));
}

async function countAnswered(app: TestApp): Promise<number> {
  const text = await app.app.get(Metrics).registry.metrics();
  return Number(/^latchkey_short_cut_requests_total\{outcome="answered"\} (\d+)$/m.exec(text)?.[1]);
}

for (const mode of MODES) {
  describe(`With FAST_PATH=${mode}`, () => {
    it('the cases of verify, batch and usage follow', () => {
      TestApp.settings = { FAST_PATH: mode };
      TestApp.through = async (app, send, method, path, options) => {
        if (method !== 'POST' || !SHORT.has(path)) return send(method, path, options);
        const service = options.token === undefined ? null : await serviceOf(app, options.token);
        const { token: _, ...rest } = options;
        const answer = await send(method, path, service === null ? options : { ...rest, apiKey: service });
        note(mode, path, answer);
        answered[mode] = Math.max(answered[mode], await countAnswered(app));
        return answer;
      };
    });
  });
  // Evaluated once for each mode: each has describes of its own.
  for (const spec of SPECS) await import(`../${spec}.e2e-spec.ts?${mode}`);
}

describe('The cases of verify, batch and usage', () => {
  beforeAll(() => {
    TestApp.settings = {};
    TestApp.through = null;
  });
  it('were answered with the same headers with the short cut and without it', () => {
    const told = (mode: Mode) =>
      Object.fromEntries([...transcripts[mode]].sort().map(([answer, heads]) => [answer, [...heads].sort()]));
    expect(Object.keys(told('on')).length).toBeGreaterThan(10);
    expect(told('on')).toEqual(told('off'));
  });

  it('took the short cut where it was on', () => {
    expect(answered.on).toBeGreaterThan(20);
    expect(answered.off).toBe(0);
  });
});
