import { type SentencePart, inParts } from '../../packages/contract/src/sentence.js';
import { hideSecrets } from './secret-shape.js';

/**
 * What went wrong, in the words of the domain. The problem filter maps each kind to one HTTP status, so
 * a kind without a status does not compile.
 */
export type ErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'missing'
  | 'method-not-allowed'
  | 'conflict'
  | 'precondition-failed'
  | 'too-large'
  | 'headers-too-large'
  | 'unsupported-media-type'
  | 'unprocessable'
  | 'throttled'
  | 'unavailable';

/** One field that is wrong: `path` as in the request (`allowedIps.3`), `message` a sentence. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
  /** `message` in parts, where it names an amount or an instant. */
  readonly messageParts?: readonly SentencePart[];
}

/** Members of the problem document beside the standard ones. All of it is public. */
export interface ErrorExtras {
  readonly errors?: readonly FieldError[];
  /** `message` in parts, where it names an amount or an instant. */
  readonly detailParts?: readonly SentencePart[];
  readonly retryAfterSeconds?: number;
  /** Methods that the path takes; sent as `Allow`. */
  readonly allow?: readonly string[];
  readonly [member: string]: unknown;
}

/**
 * A refusal that clients may read. `message` and `extras` are public by definition; everything else
 * belongs into `cause`, which is logged once at the edge and never sent.
 */
export class DomainError extends Error {
  constructor(
    readonly kind: ErrorKind,
    readonly code: string,
    message: string,
    readonly extras: ErrorExtras = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'DomainError';
  }
}

/** 400 for fields that are wrong, all of them at once. A member whose name is shaped like a secret is named `?`. */
export function validationFailed(fields: readonly FieldError[]): DomainError {
  const errors = fields.map(({ path, message, messageParts }) => ({
    path: hideSecrets(path),
    message: hideSecrets(message),
    // Values of ours: nothing of what was sent is in them.
    ...(messageParts === undefined ? {} : { messageParts }),
  }));
  const first = errors[0];
  const detail = first ? `${first.path}: ${first.message}` : 'The request is not valid.';
  const parts = first?.messageParts;
  const extras = parts === undefined ? { errors } : { detailParts: inParts`${first!.path}: ${parts}`, errors };
  return new DomainError('invalid', 'VALIDATION_FAILED', detail, extras);
}

/** 503: a dependency is away; the same request may succeed in a moment. */
export function unavailable(message: string, cause?: unknown): DomainError {
  return new DomainError('unavailable', 'UNAVAILABLE', message, { retryAfterSeconds: 1 }, { cause });
}

/** 413: more than the route takes, once it is inflated. */
export function bodyTooLarge(): DomainError {
  return new DomainError('too-large', 'BODY_TOO_LARGE', 'The body is larger than this route takes.');
}

/** 404: no route has this path. */
export function routeNotFound(): DomainError {
  return new DomainError('missing', 'ROUTE_NOT_FOUND', 'There is no such route.');
}

/** 405: the path has routes, of other methods. */
export function methodNotAllowed(methods: readonly string[]): DomainError {
  const allow = [...new Set(methods)].sort();
  const message = `This path does not take this method. It takes ${allow.join(', ')}.`;
  return new DomainError('method-not-allowed', 'METHOD_NOT_ALLOWED', message, { allow });
}
