import type { FastifyInstance, FastifyReply } from 'fastify';

interface Answer {
  readonly reply: FastifyReply;
  readonly send: () => void;
}

/**
 * Lets the answers that one turn of the event loop has made leave at its end, one after the other. Written as each is
 * made, every single one wakes a client that has just gone to sleep over the one before, and under load that costs the
 * server more than all else in a verify. Where one request is in flight nothing is held up: the turn ends at once.
 *
 * Streams leave as ever: until they are piped nobody would hear of their errors. So do refusals of an overloaded server.
 */
export function sendTogether(fastify: FastifyInstance): void {
  let waiting: Answer[] = [];
  const sendAll = (): void => {
    const ready = waiting;
    waiting = [];
    for (const answer of ready) send(fastify, answer);
  };
  fastify.addHook('onSend', (request, reply, payload, done) => {
    // Under overload the end of the turn is far.
    if (typeof payload !== 'string' || request.place?.isRefused === true) return done(null, payload);
    if (waiting.push({ reply, send: () => done(null, payload) }) === 1) setImmediate(sendAll);
  });
}

/** One answer that cannot be written must neither hold up the others nor end the process: nobody above would catch it. */
function send(fastify: FastifyInstance, answer: Answer): void {
  try {
    answer.send();
  } catch (error) {
    const { raw, request } = answer.reply;
    fastify.log.error({ requestId: request.id, cause: (error as Error).stack }, 'An answer could not be written');
    if (raw.headersSent) raw.destroy();
    else raw.writeHead(500, { Connection: 'close', 'Content-Length': 0 }).end();
  }
}
