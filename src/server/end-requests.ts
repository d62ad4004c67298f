import cluster from 'node:cluster';

/** What asks a process to end: a signal, or the end of the process it belongs to. */
export type EndReason = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'primary ended';

/** A terminal sends an interrupt to npm and to us, and npm passes it on: what comes so soon is the same one. */
const SAME_PRESS_MS = 500;

/** Thrown out of a start that is asked to end. */
export class EndRequested extends Error {
  constructor(readonly reason: EndReason) {
    super(`The process was asked to end (${reason}).`);
  }
}

/** What is told of requests to end. */
export interface EndEvents {
  /** The first request. */
  readonly onRequest: (reason: EndReason) => void;
  /** A second Ctrl-C, by a person who does not want to wait. */
  readonly onImpatience: () => void;
}

/**
 * Hears requests to end from now on: SIGTERM, SIGINT, SIGHUP (a terminal that closes), and in a worker the end of its
 * primary. The first counts, and aborts `signal`; repeats of it change nothing, because supervisors send several. Only
 * a second SIGINT is an order to drop everything.
 */
export function hearEndRequests({ onRequest, onImpatience }: EndEvents): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  const request = (reason: EndReason): void => {
    if (controller.signal.aborted) {
      if (reason === 'SIGINT' && performance.now() - firstMs > SAME_PRESS_MS) onImpatience();
      return;
    }
    firstMs = performance.now();
    onRequest(reason);
    controller.abort(new EndRequested(reason));
  };
  // When a terminal closes, what is written to it fails: that must not end us before we have drained.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => request(signal));
  const { worker } = cluster;
  worker?.on('disconnect', () => {
    // Node would end us this instant, without a word and with our leases still out.
    worker.exitedAfterDisconnect = true;
    request('primary ended');
  });
  return controller.signal;
}
