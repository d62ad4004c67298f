import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { spawn } from 'node:child_process';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextRound, setTimeout as sleep } from 'node:timers/promises';
import { Readiness } from '../health/readiness.js';
import { Periodic } from '../common/periodic.js';

/** Load balancers that ask every half second have noticed by then. */
const NOTICE_MS = 1000;

/** Nobody sends here any more once nobody has for this long. */
const QUIET_MS = 500;

/** A client that still sends after this does not look at our readiness, and would go on for ever. */
const MAX_NOTICE_MS = 5000;

/** How often connections that fell idle are closed while the last requests finish. */
const SWEEP_MS = 50;

/** Requests that take longer, counted from the signal, are cut: what we hold must still be handed back in time. */
const FINISH_WITHIN_MS = 8000;

const openSockets = new WeakMap<Server, Set<Socket>>();

/** Notes the connections of a server from its start, so that `shutDown` can end those that never asked for anything. */
export function noteConnections(server: Server): void {
  const sockets = new Set<Socket>();
  openSockets.set(server, sockets);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
}

/**
 * Ends an application so that no request fails: not ready any more; then a time in which everything is still served and
 * every answer asks its client to leave, until nobody sends here any more; then no new connections; then whatever is in
 * flight to its end. The caller bounds the whole by a deadline.
 *
 * A client that follows our readiness, or leaves when it is asked to, meets no error. One that does neither may meet a
 * connection that is refused or reset before any byte of an answer.
 *
 * @param noticeMs 0 where nobody balances load, at a terminal
 * @see docs/operations.md
 */
export async function shutDown(app: NestFastifyApplication, noticeMs: number = NOTICE_MS): Promise<void> {
  const server: Server = app.getHttpServer();
  const beganMs = performance.now();
  app.get(Readiness, { strict: false }).startDraining();
  if (noticeMs > 0) await untilNobodySends(server, beganMs + noticeMs, beganMs + MAX_NOTICE_MS);
  await finishRequests(server, beganMs + FINISH_WITHIN_MS);
  await app.close();
}

/** Requests are looked for, not connections: a balancer may keep those open for as long as it likes. */
async function untilNobodySends(server: Server, notBeforeMs: number, atLatestMs: number): Promise<void> {
  let lastMs = performance.now();
  const note = ({ url }: IncomingMessage): void => {
    if (!isProbe(url ?? '')) lastMs = performance.now();
  };
  server.on('request', note);
  for (;;) {
    await sleep(SWEEP_MS);
    const nowMs = performance.now();
    if (nowMs >= atLatestMs || (nowMs >= notBeforeMs && nowMs - lastMs >= QUIET_MS)) break;
  }
  server.off('request', note);
}

/** A probe goes on looking at a replica that is not ready. */
function isProbe(url: string): boolean {
  return url.startsWith('/health/') || url.startsWith('/metrics');
}

async function finishRequests(server: Server, untilMs: number): Promise<void> {
  if (!server.listening) return;
  // Right after everything was taken that had arrived: what is closed unread is reset, and its sender knows nothing.
  await nextRound();
  const ended = new Promise<void>((resolve) => server.close(() => resolve()));
  const sweeps = new Periodic(SWEEP_MS, () => {
    server.closeIdleConnections();
    // To Node a connection is idle only after its first request: one that never had any would keep us for ever.
    for (const socket of openSockets.get(server) ?? []) if (socket.bytesRead === 0) socket.destroy();
    if (performance.now() > untilMs) server.closeAllConnections();
  }).start();
  await ended;
  await sweeps.stop();
}

/** What `process.exit()` may take before the process is ended from outside. */
const EXIT_MS = 500;

/**
 * Work that a thread does for us: `process.exit()` waits for those threads, however long they hang in a file system.
 */
const ON_A_THREAD = /^(FSReq|GetAddrInfoReq|GetNameInfoReq)/;

/**
 * Ends the process, whatever hangs: with `code`, or by SIGKILL where a thread does not come back from a file system.
 */
export function endProcess(code: number): never {
  if (process.getActiveResourcesInfo().some((resource) => ON_A_THREAD.test(resource))) {
    const program = `setTimeout(() => { try { process.kill(${process.pid}, 'SIGKILL') } catch {} }, ${EXIT_MS})`;
    spawn(process.execPath, ['-e', program], { detached: true, stdio: 'ignore', env: {} }).unref();
  }
  process.exit(code);
}
