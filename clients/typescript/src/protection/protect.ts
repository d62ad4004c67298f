import type { LatchkeyClient } from '../client.js';
import type { Verdict, VerifyQuestion } from '../contract.js';
import { LatchkeyProblem } from '../errors.js';
import { addressIn } from './address.js';
import { presentedKey, type PresentedRequest } from './presented-key.js';
import { rateLimitHeaders } from './rate-limit-headers.js';
import { type Refusal, refusalOf, refusalOfInput, refusalOfOutage, refusalOfPresented } from './refusal.js';

/** A value, or how to find it in a request. */
export type FromRequest<Request, T> = T | ((request: Request) => T | undefined);

/** What a route asks of a key. */
export interface KeyRequirement<Request> {
  /** All of them. */
  scopes?: readonly string[];
  /** The model the call is for; keys restricted by model are refused without it. */
  model?: FromRequest<Request, string>;
  /** The chatbot the call is for; keys restricted by chatbot are refused without it. */
  chatbot?: FromRequest<Request, string>;
  /** The end user that the call is for; limits that count for each refuse without it. */
  subject?: FromRequest<Request, string>;
  /** How many requests of the rate limits the call counts as; default 1. */
  cost?: FromRequest<Request, number>;
  /** Cents to hold for the call; the handler settles or releases the verdict's `reservation`. */
  reserveCents?: FromRequest<Request, number>;
  reservationTtlSeconds?: number;
}

/** What guards of all frameworks take. */
export interface ProtectionOptions<Request> {
  /**
   * The end user's address; a port, brackets or a zone do not matter. What is no address is unknown: keys that are
   * restricted to addresses are refused, others are not. Default: what the framework says, which is the peer of the
   * connection until it is told which proxies to trust.
   */
  address?: (request: Request) => string | undefined;
  /** Told why a request was answered 503: Latchkey's refusal of the service itself, or a fault of the program. */
  onError?: (error: unknown) => void;
}

/** What the framework knows of a request. */
export interface IncomingRequest extends PresentedRequest {
  ip: string | undefined;
}

/** Let through, with headers for the answer, or refused. */
export type Decision =
  { verdict: Verdict; headers: Readonly<Record<string, string>>; refusal: null } | { refusal: Refusal };

/** Fields that come from the end user; the rest of a question is the service's own. */
const FROM_END_USER = /^(?:model|chatbot|subject)$/;

/** Decides about one request. Never throws: what goes wrong is a 503. */
export async function protect<Request>(
  client: LatchkeyClient,
  request: Request,
  incoming: IncomingRequest,
  requirement: KeyRequirement<Request>,
  options: ProtectionOptions<Request>,
): Promise<Decision> {
  try {
    const presented = presentedKey(incoming);
    if ('refusal' in presented) return { refusal: refusalOfPresented(presented.refusal) };
    const ip = addressIn(options.address === undefined ? incoming.ip : options.address(request));
    const verdict = await client.verify(questionOf(presented.key, ip, request, requirement));
    if (!verdict.valid) return { refusal: refusalOf(verdict, requirement.scopes ?? []) };
    return { verdict, headers: rateLimitHeaders(verdict.rateLimits), refusal: null };
  } catch (error) {
    if (isEndUsersFault(error)) return { refusal: refusalOfInput(error.message, error.errors) };
    (options.onError ?? warn)(error);
    return { refusal: refusalOfOutage() };
  }
}

function questionOf<Request>(
  key: string,
  ip: string | undefined,
  request: Request,
  requirement: KeyRequirement<Request>,
): VerifyQuestion {
  const { scopes, reservationTtlSeconds } = requirement;
  // JSON leaves out what is undefined.
  return {
    key,
    ip,
    scopes: scopes === undefined ? undefined : [...scopes],
    model: valueOf(requirement.model, request),
    chatbot: valueOf(requirement.chatbot, request),
    subject: valueOf(requirement.subject, request),
    cost: valueOf(requirement.cost, request),
    reserveCents: valueOf(requirement.reserveCents, request),
    reservationTtlSeconds,
  };
}

function valueOf<Request, T>(value: FromRequest<Request, T> | undefined, request: Request): T | undefined {
  return typeof value === 'function' ? (value as (request: Request) => T | undefined)(request) : value;
}

function isEndUsersFault(error: unknown): error is LatchkeyProblem {
  return (
    error instanceof LatchkeyProblem &&
    error.status === 400 &&
    error.errors.length > 0 &&
    error.errors.every(({ path }) => FROM_END_USER.test(path))
  );
}

function warn(error: unknown): void {
  process.emitWarning(
    `A key could not be checked: ${error instanceof Error ? error.message : String(error)}`,
    'LatchkeyWarning',
  );
}
