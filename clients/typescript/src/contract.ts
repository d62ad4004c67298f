import type { components, operations } from './schema.js';

type Schemas = components['schemas'];

/** What is asked of a key: may it do this, now? @see the `VerifyDto` schema of the OpenAPI document */
export type VerifyQuestion = Schemas['VerifyDto'];

/**
 * The answer. Only `valid: true` means yes. With `code: 'UNAVAILABLE'` nobody has decided: the client's failure policy
 * has, and then there is no `keyId`.
 */
export type Verdict = Schemas['VerdictView'];

/** The closed set of reasons. */
export type VerdictCode = Verdict['code'];

/** Budget that is held for one call until it is settled or released. */
export type Reservation = Schemas['ReservationView'];

/** One rate limit of a key, as of the verdict. */
export type RateLimit = Schemas['RateLimitView'];

/** A verdict on a call that was to hold money: where it is valid, the money is held. */
export type ReserveVerdict =
  (Verdict & { valid: true; keyId: string; reservation: Reservation }) | (Verdict & { valid: false });

/** The limit that refused a call, as every caller may know it. */
export type RefusingLimit = Schemas['RefusingLimitView'];

/** What a call has used. Without an `id`, the client draws one; the same id twice counts once. */
export type UsageEvent = Omit<Schemas['UsageEventDto'], 'id'> & { id?: string };

/** An event as it is sent: its id never changes, however often it is. */
export type SentUsageEvent = Schemas['UsageEventDto'];

/** What a reserved call has used; without `costCents` it costs what was reserved. */
export type Settlement = Omit<UsageEvent, 'apiKeyId' | 'reservationId'>;

/** What became of one event; all but `accepted` changed nothing. */
export type UsageResult = Schemas['UsageResultView'];

/** A released reservation. */
export type ReleasedReservation = Schemas['ReleasedReservationView'];

/** A reservation that is held for longer. */
export type RenewedReservation = Schemas['RenewedReservationView'];

/** A key as its owner and admins see it. */
export type ApiKey = Schemas['ApiKeyView'];

/** A page of keys. */
export type ApiKeyPage = Schemas['ApiKeyPageView'];

/** The fields of a new key. */
export type NewApiKey = Schemas['CreateApiKeyDto'];

/** A key just made, with its secret. */
export type CreatedApiKey = Required<Schemas['CreatedApiKeyView']>;

/** A change of a key: what is absent stays as it is. */
export type ApiKeyChange = Schemas['UpdateApiKeyDto'];

/** Filters, order and place of a list of keys. */
export type ApiKeyFilter = NonNullable<operations['listApiKeys']['parameters']['query']>;

/** A field the server found fault with; `path` such as `allowedIps.2`. */
export type FieldError = Schemas['FieldErrorView'];
