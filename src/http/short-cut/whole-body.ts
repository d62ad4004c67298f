import type { IncomingMessage } from 'node:http';

/**
 * Reads the body of a request, whose head says that it has `length` bytes. `done` is called once, later: with the whole
 * body, or with null where its client has gone before it was here.
 */
export function readWhole(request: IncomingMessage, length: number, done: (body: Buffer | null) => void): void {
  process.nextTick(readArrived, request, length, done);
}

function readArrived(request: IncomingMessage, length: number, done: (body: Buffer | null) => void): void {
  // What came with the head is here by now: nearly every body. Listening for it takes longer.
  const first = request.read() as Buffer | null;
  if (first !== null && first.length === length) done(first);
  else readOn(request, first, length, done);
}

function readOn(
  request: IncomingMessage,
  first: Buffer | null,
  length: number,
  done: (body: Buffer | null) => void,
): void {
  const chunks = first === null ? [] : [first];
  let received = first?.length ?? 0;
  const end = (body: Buffer | null): void => {
    request.off('data', take).off('error', lose).off('close', lose);
    done(body);
  };
  const take = (chunk: Buffer): void => {
    chunks.push(chunk);
    received += chunk.length;
    if (received === length) end(Buffer.concat(chunks, length));
  };
  const lose = (): void => end(null);
  if (request.destroyed) return end(null);
  request.on('data', take).on('error', lose).on('close', lose);
}
