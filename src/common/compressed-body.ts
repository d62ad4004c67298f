import { promisify } from 'node:util';
import { gunzip, type InputType, type ZlibOptions } from 'node:zlib';
import { bodyTooLarge, DomainError } from './domain-error.js';

/** What `info` makes of the answer; the types of Node do not know it. */
interface Inflated {
  readonly buffer: Buffer;
  /** `bytesWritten`: bytes of the input that were used. */
  readonly engine: { readonly bytesWritten: number };
}

const inflate = promisify(gunzip) as unknown as (
  bytes: InputType,
  options: ZlibOptions & { info: true },
) => Promise<Inflated>;

/**
 * Stands in for a body that came with `Content-Encoding: gzip`, until the guard has let the caller in: nothing is
 * inflated for a caller without credentials. It is as long as the route allows at most.
 */
export class CompressedBody {
  constructor(
    private readonly bytes: Buffer,
    private readonly maxBytes: number,
    private readonly read: (plain: Buffer) => unknown,
  ) {}

  /**
   * What an uncompressed body would have been read to. It is inflated chunk by chunk, and no further than the route
   * allows.
   *
   * @throws DomainError 400 for what is not one whole gzip stream, 413 for what inflates to more than the route takes
   */
  async plain(): Promise<unknown> {
    const { buffer, engine } = await inflate(this.bytes, { maxOutputLength: this.maxBytes, info: true }).catch(refuse);
    if (engine.bytesWritten !== this.bytes.length) throw notGzip();
    return this.read(buffer);
  }
}

function refuse(error: unknown): never {
  throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? bodyTooLarge() : notGzip(error);
}

function notGzip(cause?: unknown): DomainError {
  const errors = [{ path: '', message: 'the body must be one whole gzip stream, as its Content-Encoding says' }];
  const detail = 'The body must be one whole gzip stream, as its Content-Encoding says.';
  return new DomainError('invalid', 'VALIDATION_FAILED', detail, { errors }, { cause });
}
