import { afterAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTraceWork, traceWork } from '../common/trace-work.js';
import { beginTraces } from './open-telemetry.js';

const TRACED = { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };

describe('Work that many requests share', () => {
  // Nothing listens there: what becomes of spans is counted all the same.
  const config = { url: 'http://127.0.0.1:1/v1/traces', sampleRatio: 0, headers: {} };
  const { pipeline, requests } = beginTraces(config, new Set(), () => undefined);
  afterAll(async () => {
    setTraceWork(null);
    await pipeline.close();
  });

  const spansOf = async (handle: (response: ServerResponse) => Promise<void>): Promise<number> => {
    const before = spansSoFar();
    let work: Promise<void> | undefined;
    const server = createServer((request, response) =>
      requests.run(request, response, () => void (work = handle(response))),
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await (await fetch(`http://127.0.0.1:${port}/`, { headers: TRACED })).text();
    await work;
    server.closeAllConnections();
    server.close();
    return spansSoFar() - before;
  };
  const spansSoFar = () => {
    const { taken, lost, queued } = pipeline.counts;
    return taken + lost + queued;
  };

  it('has a span while a traced request waits for it', async () => {
    const spans = await spansOf(async (response) => {
      const closed = once(response, 'close');
      await traceWork('quotas', async () => undefined);
      response.end();
      await closed;
    });
    expect(spans).toBe(2);
  });

  it('has none where it goes on by itself after the request that began it', async () => {
    const spans = await spansOf(async (response) => {
      const closed = once(response, 'close');
      response.end();
      await closed;
      for (let round = 0; round < 3; round += 1) await traceWork('quotas', async () => undefined);
    });
    expect(spans).toBe(1);
  });
});
