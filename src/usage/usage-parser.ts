import type { FieldError } from '../common/domain-error.js';
import {
  AMOUNT,
  CHATBOT,
  CHATBOT_CHARACTERS,
  ENDPOINT,
  INSTANT,
  ENDPOINT_CHARACTERS,
  EVENT_ID,
  MODEL,
  MODEL_CHARACTERS,
  RESERVATION_ID,
  SUBJECT,
  TAG,
  UUID,
  cutToLine,
  isOf,
} from '../../packages/contract/src/grammar.js';
import { instantFrom } from '../../packages/contract/src/instant.js';
import { compileSchema, withoutNulls } from '../common/json-schema.js';
import { costFromCents } from '../common/money.js';
import { hideSecrets } from '../common/secret-shape.js';
import type { Reservation } from '../quotas/reservation.js';
import type { UsageReport } from './usage-entry.js';

/** Events in one request. */
export const MAX_EVENTS = 1000;
/** A clock of a service may be ahead by this much. */
const MAX_AHEAD_MS = 5 * 60_000;
/** An event names this many of its wrong fields, so that an answer stays in proportion to its request. */
const MAX_ERRORS_OF_EVENT = 10;
/** Per event. Sums of many events saturate (docs/adr/0031). */
const MAX_REQUESTS = 1_000_000;
const MAX_TOKENS = 1_000_000_000;
const MAX_LATENCY_MS = 86_400_000;
/** Tags of one event. */
const MAX_TAGS = 8;

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
    id: EVENT_ID,
    apiKeyId: UUID,
    reservationId: RESERVATION_ID,
    requests: { type: 'integer', minimum: 1, maximum: MAX_REQUESTS },
    inputTokens: { type: 'integer', minimum: 0, maximum: MAX_TOKENS },
    outputTokens: { type: 'integer', minimum: 0, maximum: MAX_TOKENS },
    costCents: AMOUNT,
    model: MODEL,
    chatbot: CHATBOT,
    subject: SUBJECT,
    endpoint: ENDPOINT,
    statusCode: { type: 'integer', minimum: 100, maximum: 599 },
    latencyMs: { type: 'number', minimum: 0, maximum: MAX_LATENCY_MS },
    occurredAt: INSTANT,
    tags: { type: 'array', maxItems: MAX_TAGS },
  },
});

/** What is left of a label that is wrong; undefined where nothing is. */
type Cut = (value: unknown, context: ParserContext) => string | readonly string[] | undefined;

const cutTo =
  (characters: number): Cut =>
  (value) =>
    cutToLine(value, characters) ?? undefined;
const dropped: Cut = () => undefined;
const rightTags: Cut = (value, context) => {
  const right = Array.isArray(value) ? value.filter((tag) => isOf(TAG, tag) && !isShown(tag, context)) : [];
  return right.length === 0 ? undefined : right.slice(0, MAX_TAGS);
};

/**
 * The members that say nothing of money or of whose it is. With a reservation they never keep it from being settled.
 */
const LABELS = new Map<string, Cut>([
  ['requests', dropped],
  ['inputTokens', dropped],
  ['outputTokens', dropped],
  ['model', cutTo(MODEL_CHARACTERS)],
  ['chatbot', cutTo(CHATBOT_CHARACTERS)],
  // A reservation is of a subject already: a part of another text would be another one.
  ['subject', dropped],
  ['endpoint', cutTo(ENDPOINT_CHARACTERS)],
  ['statusCode', dropped],
  ['latencyMs', dropped],
  ['occurredAt', dropped],
  ['tags', rightTags],
]);

/** What is kept of an event as it was written. */
const TEXTS = ['id', 'model', 'chatbot', 'subject', 'endpoint'] as const;

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
  readonly subject?: string;
  readonly endpoint?: string;
  readonly statusCode?: number;
  readonly latencyMs?: number;
  readonly occurredAt?: string;
  readonly tags?: readonly string[];
}

/** What the parser needs to know of the world. */
export interface ParserContext {
  readonly now: Date;
  /** Only who reserved may settle. */
  readonly callerId: string;
  /** null for what we did not sign. */
  readonly openReservation: (text: string) => Reservation | null;
  /** Whether a text contains a secret made here, which must not be kept. */
  readonly showsSecret: (text: string) => boolean;
}

/** An event that is right; `labelsCut` names the labels that were not, and of which it keeps what could be kept. */
export interface ReadEvent {
  readonly id: string;
  readonly report: UsageReport;
  readonly labelsCut: readonly string[];
}

/** An event that is not: every wrong field by its path inside of the event, which itself has the path ''. */
export interface InvalidEvent {
  /** As it was given; empty where it was no text. */
  readonly id: string;
  readonly errors: readonly FieldError[];
}

/** An event of a report, read by itself. */
export type ParsedEvent = ReadEvent | InvalidEvent;

/** The events of a body, or what is wrong with the body as a whole. */
export type Parsed<Event> = { readonly events: readonly Event[] } | { readonly errors: readonly FieldError[] };

const NO_LABELS: readonly string[] = Object.freeze([]);
const NO_TAGS: readonly string[] = NO_LABELS;

/** Turns the body of a report into events. */
export function parseReports(body: unknown, context: ParserContext): Parsed<ParsedEvent> {
  const listed = eventsOf(body);
  return 'errors' in listed ? listed : { events: listed.events.map((event) => parseEvent(event, context)) };
}

/** The events of a body, not yet looked at. */
export function eventsOf(body: unknown): Parsed<unknown> {
  // An absent body lacks its events, like any other body without them.
  const wrong = checkEnvelope(body ?? {});
  if (wrong.length > 0) return { errors: wrong.map(({ path, message }) => ({ path: path || 'body', message })) };
  return { events: (body as { events: unknown[] }).events };
}

/** Reads an event by itself. A member that is null is absent. */
export function parseEvent(event: unknown, context: ParserContext): ParsedEvent {
  return readEvent(withoutNulls(event), context);
}

function readEvent(event: unknown, context: ParserContext): ParsedEvent {
  const wrong = [...checkEvent(event), ...shownSecrets(event, context), ...wrongTags(event, context)];
  if (wrong.length === 0) return reportOf(event as RawEvent, context, NO_LABELS);
  const cut = cutLabels(event, wrong, context);
  return cut === null ? invalid(event, wrong, context) : reportOf(cut.event, context, cut.labels);
}

/**
 * The event without its wrong labels, where it settles a reservation of the caller and nothing else is wrong with it.
 */
function cutLabels(
  event: unknown,
  wrong: readonly FieldError[],
  context: ParserContext,
): { event: RawEvent; labels: string[] } | null {
  // A tag is named by its place; what is cut is the list.
  const names = [...new Set(wrong.map(({ path }) => path.replace(/^tags\..*/, 'tags')))];
  if (!names.every((name) => LABELS.has(name))) return null;
  const { reservationId, ...members } = event as RawEvent;
  if (reservationId === undefined || openOwn(reservationId, context) === null) return null;
  const cut = (name: string, value: unknown) =>
    isShown(value, context) ? undefined : LABELS.get(name)!(value, context);
  const kept = Object.entries(members).map(
    ([name, value]) => [name, names.includes(name) ? cut(name, value) : value] as const,
  );
  return { event: { ...(Object.fromEntries(kept) as unknown as RawEvent), reservationId }, labels: names };
}

/** The rules that a schema cannot say. */
function reportOf(event: RawEvent, context: ParserContext, labelsCut: readonly string[]): ReadEvent | InvalidEvent {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => errors.push({ path, message });
  const reservation = event.reservationId === undefined ? null : openOwn(event.reservationId, context);
  const apiKeyId = event.apiKeyId?.toLowerCase();
  if (event.reservationId === undefined && apiKeyId === undefined) {
    refuse('apiKeyId', 'must be given, unless a reservationId is');
  } else if (event.reservationId !== undefined && reservation === null) {
    refuse('reservationId', 'unknown reservation, or made by another caller');
  } else if (reservation !== null && apiKeyId !== undefined && apiKeyId !== reservation.keyId) {
    refuse('apiKeyId', 'must be the key of the reservation, or absent');
  }
  let cut = labelsCut;
  let occurredAt: Date | null = null;
  if (event.occurredAt !== undefined) {
    const instant = instantOf(event.occurredAt, context.now);
    if (typeof instant !== 'string') occurredAt = instant;
    else if (reservation === null) refuse('occurredAt', instant);
    else cut = [...labelsCut, 'occurredAt'];
  }
  if (errors.length > 0) return invalid(event, errors, context);
  const report: UsageReport = {
    id: event.id,
    keyId: reservation?.keyId ?? apiKeyId!,
    reservation,
    requests: event.requests ?? 1,
    inputTokens: event.inputTokens ?? 0,
    outputTokens: event.outputTokens ?? 0,
    isWithoutTokens:
      (event.inputTokens === undefined && event.outputTokens === undefined) ||
      // One of the two was wrong: the other alone says too little.
      labelsCut.some((name) => name === 'inputTokens' || name === 'outputTokens'),
    costMicroCents: event.costCents === undefined ? null : costFromCents(event.costCents),
    model: event.model ?? null,
    chatbot: event.chatbot ?? null,
    ...(event.subject === undefined ? {} : { subject: event.subject }),
    endpoint: event.endpoint ?? null,
    statusCode: event.statusCode ?? null,
    latencyMs: event.latencyMs ?? null,
    occurredAt,
    tags: event.tags === undefined ? NO_TAGS : [...new Set(event.tags)].sort(),
  };
  return { id: event.id, report, labelsCut: cut };
}

function openOwn(reservationId: unknown, { openReservation, callerId }: ParserContext): Reservation | null {
  const reservation = typeof reservationId === 'string' ? openReservation(reservationId) : null;
  return reservation?.callerId === callerId ? reservation : null;
}

/** Texts of an event that would keep a secret made here. */
function shownSecrets(event: unknown, context: ParserContext): FieldError[] {
  const members = (event ?? {}) as Readonly<Record<string, unknown>>;
  return TEXTS.filter((name) => isShown(members[name], context)).map((path) => ({
    path,
    message: 'must not contain an API key',
  }));
}

/** Not by the schema, which would name each tag of a list of any length. */
function wrongTags(event: unknown, context: ParserContext): FieldError[] {
  const { tags } = (event ?? {}) as { tags?: unknown };
  if (!Array.isArray(tags)) return [];
  return tags.slice(0, MAX_TAGS).flatMap((tag: unknown, at) => {
    if (!isOf(TAG, tag)) return { path: `tags.${at}`, message: TAG.sentence };
    return isShown(tag, context) ? { path: `tags.${at}`, message: 'must not contain an API key' } : [];
  });
}

function isShown(value: unknown, { showsSecret }: ParserContext): boolean {
  return typeof value === 'string' && showsSecret(value);
}

function invalid(event: unknown, errors: readonly FieldError[], context: ParserContext): InvalidEvent {
  const { id } = (event ?? {}) as { id?: unknown };
  return {
    id: typeof id === 'string' && !isShown(id, context) ? id.slice(0, 128) : '',
    errors: errors
      .slice(0, MAX_ERRORS_OF_EVENT)
      .map(({ path, message }) => ({ path: hideSecrets(path), message: hideSecrets(message) })),
  };
}

/** The instant, or what is wrong with it. */
function instantOf(text: string, now: Date): Date | string {
  const instant = instantFrom(text);
  if (instant === null) return 'must be an instant such as 2027-12-31T23:59:59Z';
  return instant.getTime() > now.getTime() + MAX_AHEAD_MS ? 'must not be more than 5 minutes ahead' : instant;
}
