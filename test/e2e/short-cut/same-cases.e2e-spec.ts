import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Meters } from '../../../src/common/meters.js';
import { type Answer, TestApp } from '../../support/app.js';
import { issueServiceKey } from '../../support/management.js';

/** Every case of these is run with the short cut and without it. */
const SPECS = ['verification/verify', 'verification/verify-batch', 'usage/report', 'usage/settle'];
const SHORT = new Set(['/verify', '/verify/batch', '/usage']);
const MODES = ['on', 'off'] as const;
type Mode = (typeof MODES)[number];

/** What was answered in each test, once each: some ask until a fact holds. */
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

/** Values that differ from run to run; names and order of members stay. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return blanked(value);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}

function blanked(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean') return typeof value;
  if (typeof value !== 'string') return value;
  const isText = /^[A-Za-z][A-Za-z ,.:'’;_-]{0,80}$/.test(value) && !/[0-9]/.test(value);
  return isText ? value : '<>';
}

function note(mode: Mode, path: string, { status, headers, body }: Answer): void {
  const test = expect.getState().currentTestName ?? 'before';
  const head = [...headers.keys()].filter((name) => name !== 'retry-after').sort();
  const noted = transcripts[mode].get(test) ?? new Set<string>();
  transcripts[mode].set(test, noted.add(`${path} ${status} ${head.join(' ')} ${JSON.stringify(shapeOf(body))}`));
}

async function countAnswered(app: TestApp): Promise<number> {
  const text = await app.app.get(Meters).registry.metrics();
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
  afterAll(() => {
    for (const mode of MODES) transcripts[mode].clear();
  });

  it('were answered the same with the short cut and without it', () => {
    const told = (mode: Mode) =>
      [...transcripts[mode]].map(([test, answers]) => ({ test, answers: [...answers].sort() }));
    expect(told('on').length).toBeGreaterThan(50);
    expect(told('on')).toEqual(told('off'));
  });

  it('took the short cut where it was on', () => {
    expect(answered.on).toBeGreaterThan(20);
    expect(answered.off).toBe(0);
  });
});
