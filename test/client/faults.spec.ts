import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { LatchkeyClient, LatchkeyError, UsageProblem } from '@latchkey/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { LatchkeyServer } from './latchkey-server.js';

const EVENTS = 1_500;

describe('The client, when things break', () => {
  let server: LatchkeyServer;
  let admin: LatchkeyClient;

  beforeAll(async () => {
    server = await LatchkeyServer.start();
    admin = server.admin();
  });
  afterAll(() => server.stop());
  afterEach(() => {
    server.proxy.setLatency(0);
    server.proxy.setMode('pass');
    server.databaseProxy.setMode('pass');
  });

  /**
   * Reports events of 0.001 cents each as fast as they are taken, a batch of 50 at a time; resolves to their outcomes.
   */
  const reportMany = (service: LatchkeyClient, apiKeyId: string): Promise<string[]> =>
    Promise.all(
      Array.from({ length: EVENTS }, (_, index) =>
        service.reportUsage({ id: `${apiKeyId}-${index}`, apiKeyId, costCents: 0.001 }).then(({ outcome }) => outcome),
      ),
    );

  const expectAllCountedOnce = async (apiKeyId: string, outcomes: readonly string[]) => {
    expect(new Set(outcomes.filter((outcome) => outcome !== 'duplicate'))).toEqual(new Set(['accepted']));
    expect(outcomes).toHaveLength(EVENTS);
    expect(await admin.keys.usage(apiKeyId)).toMatchObject({ totalRequests: EVENTS, totalCostCents: EVENTS / 1_000 });
  };

  describe('a verify', () => {
    it('is refused when the answer takes too long, and succeeds when it does not any more', async () => {
      const outages: LatchkeyError[] = [];
      const service = await server.service({ verifyTimeoutMs: 250, onUnavailable: (error) => outages.push(error) });
      const { secretKey } = await admin.keys.create();
      server.proxy.setLatency(400);
      expect(await service.verify({ key: secretKey })).toMatchObject({ valid: false, code: 'UNAVAILABLE' });
      expect(outages).toMatchObject([{ code: 'TIMEOUT' }]);
      server.proxy.setLatency(0);
      expect(await service.verify({ key: secretKey }, { timeoutMs: 5_000 })).toMatchObject({
        valid: true,
        code: 'VALID',
      });
    });

    it('is not repeated when the connection breaks under it: it may have counted', async () => {
      const outages: LatchkeyError[] = [];
      const service = await server.service({
        verifyTimeoutMs: 20_000,
        onUnavailable: (error) => outages.push(error),
      });
      const { apiKey, secretKey } = await admin.keys.create({ rateLimitPerHour: 10 });
      const dryRun = { key: secretKey, dryRun: true };
      expect(await service.verify(dryRun)).toMatchObject({ valid: true });
      server.proxy.setLatency(1_000);
      const asked = service.verify({ key: secretKey });
      // The question has arrived, and the answer is on its way.
      await eventually(async () =>
        expect(await admin.keys.usage(apiKey.id)).toMatchObject({ rateLimits: [{ remaining: 9 }] }),
      );
      server.proxy.reset();
      expect(await asked).toMatchObject({ valid: false, code: 'UNAVAILABLE' });
      expect(outages).toMatchObject([{ code: 'CONNECTION_LOST' }]);
      server.proxy.setLatency(0);
      expect(await service.verify({ key: secretKey })).toMatchObject({ rateLimits: [{ remaining: 8 }] });
    });

    it('is repeated when the connection breaks under it and it consumes nothing', async () => {
      const service = await server.service();
      const { secretKey } = await admin.keys.create();
      await service.verify({ key: secretKey });
      server.proxy.setLatency(60);
      const asked = service.verify({ key: secretKey, dryRun: true });
      await sleep(90);
      server.proxy.reset();
      server.proxy.setLatency(0);
      expect(await asked).toMatchObject({ valid: true });
    });
  });

  describe('usage', () => {
    const impatient = { timeoutMs: 2_000, usage: { maxBatch: 50, onProblem: () => undefined } };

    it('is complete, and counted once, when connections break again and again', async () => {
      const service = await server.service(impatient);
      const { apiKey } = await admin.keys.create();
      // An answer takes longer than the client waits for one.
      server.proxy.setLatency(1_500);
      const reported = reportMany(service, apiKey.id);
      // The first events have been counted, and the answer is on its way.
      await eventually(async () => expect((await admin.keys.usage(apiKey.id)).totalRequests).toBeGreaterThan(0));
      server.proxy.reset();
      server.proxy.setLatency(8);
      let isDone = false;
      void reported.finally(() => (isDone = true));
      for (let reset = 0; reset < 12 && !isDone; reset += 1) {
        await sleep(60);
        server.proxy.reset();
      }
      server.proxy.setLatency(0);
      const outcomes = await reported;
      await expectAllCountedOnce(apiKey.id, outcomes);
      // Some answers were lost after the events had been counted: otherwise this has tested nothing.
      expect(outcomes).toContain('duplicate');
    });

    it('is complete, and counted once, when the server is killed in the middle and comes back', async () => {
      const service = await server.service({ ...impatient, circuitBreaker: { failures: 3, openMs: 200 } });
      const { apiKey, secretKey } = await admin.keys.create();
      server.proxy.setLatency(20);
      const reported = reportMany(service, apiKey.id);
      while (service.queuedUsage > EVENTS * 0.7) await sleep(2);
      await server.kill();
      expect(service.queuedUsage).toBeGreaterThan(0);
      const refusals = [];
      for (let time = 0; time < 5; time += 1) refusals.push((await service.verify({ key: secretKey })).code);
      expect(new Set(refusals)).toEqual(new Set(['UNAVAILABLE']));
      await server.restart();
      server.proxy.setLatency(0);
      await expectAllCountedOnce(apiKey.id, await reported);
      // The circuit that the outage opened is closed again.
      expect(await service.verify({ key: secretKey }, { timeoutMs: 5_000 })).toMatchObject({
        valid: true,
        code: 'VALID',
      });
    });

    it('waits while the server answers 503, and is complete when that is over', async () => {
      const problems: UsageProblem[] = [];
      const service = await server.service({ usage: { onProblem: (problem) => problems.push(problem) } });
      const { apiKey } = await admin.keys.create();
      server.databaseProxy.setMode('refuse');
      const reported = service.reportUsage({ id: 'in an outage', apiKeyId: apiKey.id, costCents: 1 });
      while (problems.length === 0) await sleep(10);
      expect(problems[0]).toMatchObject({ kind: 'delayed', queued: 1, error: { status: 503, code: 'UNAVAILABLE' } });
      server.databaseProxy.setMode('pass');
      expect((await reported).outcome).toBe('accepted');
      expect(await admin.keys.usage(apiKey.id)).toMatchObject({ totalRequests: 1, totalCostCents: 1 });
    });

    it('is handed back when the client must close before the server is back', async () => {
      const service = await server.service({ usage: { onProblem: () => undefined } });
      const { apiKey } = await admin.keys.create();
      server.proxy.setMode('refuse');
      void service.reportUsage({ id: 'kept', apiKeyId: apiKey.id, costCents: 1 });
      const left = await service.close({ timeoutMs: 300 });
      expect(left).toEqual([{ id: 'kept', apiKeyId: apiKey.id, costCents: 1 }]);
      server.proxy.setMode('pass');
      const next = await server.service();
      expect(await Promise.all(left.map((event) => next.reportUsage(event)))).toMatchObject([{ outcome: 'accepted' }]);
    });
  });

  it('leaves books that balance', async () => {
    expect(await server.doctor()).toMatchObject({ exitCode: 0 });
  });
});
