/** What the package offers: the one list of its public names. */
export type { ApiBody, ApiInput, ApiMethod, ApiPath, ApiQuery, ApiResult, CallOptions } from './api.js';
export type { ApiKeys, NarrowingOptions, OnceOptions } from './api-keys.js';
export type { CircuitBreakerOptions } from './circuit-breaker.js';
export {
  type CallHold,
  type FailurePolicy,
  type Hold,
  type HoldRequest,
  LatchkeyClient,
  type LatchkeyClientOptions,
  type ReserveQuestion,
} from './client.js';
export type {
  ApiKey,
  ApiKeyChange,
  ApiKeyFilter,
  ApiKeyPage,
  CreatedApiKey,
  FieldError,
  NewApiKey,
  RateLimit,
  RefusingLimit,
  ReleasedReservation,
  RenewedReservation,
  Reservation,
  ReserveVerdict,
  SentUsageEvent,
  Settlement,
  UsageEvent,
  UsageResult,
  Verdict,
  VerdictCode,
  VerifyQuestion,
} from './contract.js';
export {
  KeyRefused,
  LatchkeyError,
  LatchkeyProblem,
  LatchkeyUnreachable,
  SettlementRefused,
  UsageUndelivered,
} from './errors.js';
export type { UsageOptions, UsageProblem } from './usage-reporter.js';
export type { components, operations, paths } from './schema.js';
