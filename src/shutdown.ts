import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readiness } from './health/readiness.js';

/** Load balancers that ask every half second have noticed by then. */
const NOTICE_MS = 1000;

/** How often connections that fell idle are closed while the last requests finish. */
const SWEEP_MS = 50;

/**
 * Ends an application so that no request fails: not ready any more, a moment in which everything is still served and
 * every answer asks its client to leave, then no new connections, then whatever is in flight to its end. The caller
 * bounds the whole by a deadline.
 *
 * @param noticeMs 0 where nobody balances load, at a terminal
 */
export async function shutDown(app: NestFastifyApplication, noticeMs: number = NOTICE_MS): Promise<void> {
  app.get(Readiness, { strict: false }).startDraining();
  await sleep(noticeMs);
  await finishRequests(app.getHttpServer());
  await app.close();
}

async function finishRequests(server: Server): Promise<void> {
  if (!server.listening) return;
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearInterval(sweep);
}
