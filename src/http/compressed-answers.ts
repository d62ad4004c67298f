import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { pipeline, Readable } from 'node:stream';
import { constants, createGzip, gzip, type ZlibOptions } from 'node:zlib';

/** Shorter answers fit a packet anyway, in bytes. */
const LEAST_BYTES = 1024;
/** Half of the time of the usual level, for lists that are a tenth larger. */
const OPTIONS: ZlibOptions = { level: 4 };
/** What a stream has written so far leaves at once: a batch of an export is not held back until its end. */
const STREAM_OPTIONS: ZlibOptions = { ...OPTIONS, flush: constants.Z_SYNC_FLUSH };

type Done = (error: Error | null, payload?: unknown) => void;

/** Compresses the answers of routes that say so by `@Compressed`, except for those that set a cookie. */
export function compressAnswers(fastify: FastifyInstance): void {
  fastify.addHook('onRoute', (route) => {
    if (route.config?.isCompressed !== true) return;
    route.onSend = [...[route.onSend ?? []].flat(), compress];
  });
}

function compress(request: FastifyRequest, reply: FastifyReply, payload: unknown, done: Done): void {
  const vary = reply.getHeader('Vary');
  void reply.header('Vary', vary === undefined ? 'Accept-Encoding' : `${String(vary)}, Accept-Encoding`);
  if (reply.statusCode !== 200 || reply.hasHeader('Set-Cookie') || !takesGzip(request.headers['accept-encoding']))
    return done(null, payload);
  if (payload instanceof Readable) {
    encoded(reply);
    // An error of either ends the other, and with it the connection: the answer is cut off and not merely short.
    return done(
      null,
      pipeline(payload, createGzip(STREAM_OPTIONS), () => undefined),
    );
  }
  if (typeof payload !== 'string' || payload.length < LEAST_BYTES) return done(null, payload);
  gzip(payload, OPTIONS, (error, bytes) => {
    if (error !== null) return done(error);
    encoded(reply);
    done(null, bytes);
  });
}

function encoded(reply: FastifyReply): void {
  void reply.header('Content-Encoding', 'gzip').removeHeader('Content-Length');
}

/** Whether `Accept-Encoding` names gzip, or anything, and not with the weight 0. @see RFC 9110, section 12.5.3 */
export function takesGzip(header: string | undefined): boolean {
  const weights = new Map<string, number>();
  for (const entry of (header ?? '').split(',')) {
    const [coding, ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    weights.set(coding === 'x-gzip' ? 'gzip' : coding!, weight === undefined ? 1 : Number(weight));
  }
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0;
}
