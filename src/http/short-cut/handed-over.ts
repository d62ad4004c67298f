import type { FastifyInstance } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/** Bodies that the short cut has read of requests that the ordinary route answers. Null: the client has gone before. */
export class HandedOver {
  private readonly bodies = new WeakMap<IncomingMessage, Buffer | null>();

  keep(request: IncomingMessage, body: Buffer | null): void {
    this.bodies.set(request, body);
  }

  /** The body as the parser of the ordinary route reads it; undefined where nothing was read of it. */
  streamOf(request: IncomingMessage): Readable | undefined {
    const body = this.bodies.get(request);
    return body === undefined ? undefined : streamOf(body);
  }
}

/** Gives the parsers of the routes `isShort` the bodies that were read before. */
export function readHandedOver(fastify: FastifyInstance, handed: HandedOver, isShort: (url: string) => boolean): void {
  fastify.addHook('onRoute', (route) => {
    if (!isShort(route.url)) return;
    route.preParsing = [
      ...[route.preParsing ?? []].flat(),
      (request, _reply, payload, done) => done(null, handed.streamOf(request.raw) ?? payload),
    ];
  });
}

function streamOf(body: Buffer | null): Readable {
  return new Readable({
    read() {
      if (body === null) {
        this.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
        return;
      }
      this.push(body);
      this.push(null);
    },
  });
}
