import type { FieldError } from '../common/domain-error.js';
import { instantFrom } from '../common/instant.js';
import { compileSchema } from '../common/json-schema.js';
import { InvalidCentsError, microCentsFromCents } from '../common/money.js';
import type { Reservation } from '../quotas/reservation.js';
import type { UsageReport } from './usage-entry.js';

/** Events in one request. */
export const MAX_EVENTS = 1000;
/** A clock of a service may be ahead by this much. */
const MAX_AHEAD_MS = 5 * 60_000;
/** A wrong request names this many of its wrong fields. */
const MAX_ERRORS = 100;
/** Per event. Sums of many events are 64 bits. */
const MAX_REQUESTS = 1_000_000;
const MAX_TOKENS = 1_000_000_000;
const MAX_LATENCY_MS = 86_400_000;

const UUID = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$';
/** PostgreSQL stores no NUL, and half a surrogate pair is no character; the rest of the controls have no use here. */
const TEXT = { type: 'string', minLength: 1, pattern: '^[^\\p{Cc}\\p{Cs}]*$', description: 'must be text without control characters' } as const;

const checkEnvelope = compileSchema({
  type: 'object',
  additionalProperties: false,
  required: ['events'],
  properties: { events: { type: 'array', minItems: 1, maxItems: MAX_EVENTS } },
});

const checkEvent = compileSchema({
  type: 'object',
  additionalProperties: false,
  required: ['id'],
  properties: {
    id: { ...TEXT, maxLength: 128 },
    apiKeyId: { type: 'string', pattern: UUID, description: 'must be a UUID' },
    reservationId: { type: 'string', minLength: 1, maxLength: 512 },
    requests: { type: 'integer', minimum: 1, maximum: MAX_REQUESTS },
    inputTokens: { type: 'integer', minimum: 0, maximum: MAX_TOKENS },
    outputTokens: { type: 'integer', minimum: 0, maximum: MAX_TOKENS },
    costCents: { type: 'number' },
    model: { ...TEXT, maxLength: 128 },
    chatbot: { ...TEXT, maxLength: 128 },
    endpoint: { ...TEXT, maxLength: 256 },
    statusCode: { type: 'integer', minimum: 100, maximum: 599 },
    latencyMs: { type: 'number', minimum: 0, maximum: MAX_LATENCY_MS },
    occurredAt: { type: 'string', maxLength: 40 },
  },
});

/** An event as it comes in, its shape checked. */
interface RawEvent {
  readonly id: string;
  readonly apiKeyId?: string;
  readonly reservationId?: string;
  readonly requests?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly costCents?: number;
  readonly model?: string;
  readonly chatbot?: string;
  readonly endpoint?: string;
  readonly statusCode?: number;
  readonly latencyMs?: number;
  readonly occurredAt?: string;
}

/** What the parser needs to know of the world. */
export interface ParserContext {
  readonly now: Date;
  /** Only who reserved may settle. */
  readonly callerId: string;
  /** null for what we did not sign. */
  readonly openReservation: (text: string) => Reservation | null;
}

/** A body that is right, or everything that is wrong with it (the first hundred fields). */
export type Parsed = { readonly reports: readonly UsageReport[] } | { readonly errors: readonly FieldError[] };

/** Turns the body of a report into events; each wrong field is named by its path (`events.3.costCents`). */
export function parseReports(body: unknown, context: ParserContext): Parsed {
  // An absent body lacks its events, like any other body without them.
  const wrong = checkEnvelope(body ?? {});
  if (wrong.length > 0) return { errors: wrong.map(({ path, message }) => ({ path: path || 'body', message })) };
  const reports: UsageReport[] = [];
  const errors: FieldError[] = [];
  for (const [index, event] of (body as { events: unknown[] }).events.entries()) {
    const at = `events.${index}`;
    const misshapen = checkEvent(event, at);
    if (misshapen.length > 0) errors.push(...misshapen);
    else reports.push(reportOf(event as RawEvent, at, context, errors));
    if (errors.length >= MAX_ERRORS) break;
  }
  return errors.length > 0 ? { errors: errors.slice(0, MAX_ERRORS) } : { reports };
}

/** The rules that a schema cannot say; what is wrong is added to `errors`. */
function reportOf(event: RawEvent, at: string, context: ParserContext, errors: FieldError[]): UsageReport {
  const refuse = (field: string, message: string) => errors.push({ path: `${at}.${field}`, message });
  const reservation = event.reservationId === undefined ? null : context.openReservation(event.reservationId);
  const apiKeyId = event.apiKeyId?.toLowerCase();
  if (event.reservationId === undefined && apiKeyId === undefined) {
    refuse('apiKeyId', 'is required, unless a reservationId is given');
  } else if (event.reservationId !== undefined && (reservation === null || reservation.callerId !== context.callerId)) {
    refuse('reservationId', 'is no reservation of yours');
  } else if (reservation !== null && apiKeyId !== undefined && apiKeyId !== reservation.keyId) {
    refuse('apiKeyId', 'is not the key of the reservation');
  }
  return {
    id: event.id,
    keyId: reservation?.keyId ?? apiKeyId ?? '',
    reservation,
    requests: event.requests ?? 1,
    inputTokens: event.inputTokens ?? 0,
    outputTokens: event.outputTokens ?? 0,
    costMicroCents: event.costCents === undefined ? null : costOf(event.costCents, (message) => refuse('costCents', message)),
    model: event.model ?? null,
    chatbot: event.chatbot ?? null,
    endpoint: event.endpoint ?? null,
    statusCode: event.statusCode ?? null,
    latencyMs: event.latencyMs ?? null,
    occurredAt: event.occurredAt === undefined ? null : instantOf(event.occurredAt, context.now, (message) => refuse('occurredAt', message)),
  };
}

function costOf(cents: number, refuse: (message: string) => void): bigint | null {
  try {
    return microCentsFromCents(cents);
  } catch (error) {
    if (!(error instanceof InvalidCentsError)) throw error;
    refuse(error.message);
    return null;
  }
}

function instantOf(text: string, now: Date, refuse: (message: string) => void): Date | null {
  const instant = instantFrom(text);
  if (instant === null) refuse('must be an instant such as 2027-12-31T23:59:59Z');
  else if (instant.getTime() > now.getTime() + MAX_AHEAD_MS) refuse('must not be more than 5 minutes ahead');
  return instant;
}
