import { Injectable } from '@nestjs/common';
import type { Caller, Principal } from '../access/caller.js';
import type { MaybePromise } from '../common/maybe-promise.js';
import { centsFromMicroCents } from '../common/money.js';
import { readBody } from '../common/body-schema.js';
import { type DomainError, type FieldError, validationFailed } from '../common/domain-error.js';
import { domainErrorOf } from '../common/problem.filter.js';
import { VerdictCounter } from '../usage/verdict-counter.js';
import { DENIED, type StaticDecision, type VerdictCode, decide, explainChecks } from './checks.js';
import { UNKNOWN_VIEWER, credentialViewer } from './credential-viewer.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';
import { ofSubject } from '../quotas/key-limits.js';
import { KeyResolver, type Recognised, type ResolvedKey } from './key-resolver.js';
import { KnownLimits, type ToldCall } from './known-limits.js';
import { LastUsed } from './last-used/last-used.js';
import { QuotaGate, type QuotaOutcome, type QuotaRefusal, type QuotaSnapshot } from './quota-gate.js';
import { noteRefusal } from './refusals/note-refusal.js';
import { type RefusedVia, RefusedCalls } from './refusals/refused-calls.js';
import { VerificationMetrics } from './verification-metrics.js';
import type { RateLimitView, VerdictView } from './verdict.view.js';
import { VerifyDto, type VerifyQuestion } from './verify.dto.js';

/** Refusals by budgets, windows and limits. */
const QUOTA_CODES: readonly VerdictCode[] = [
  'RATE_LIMITED',
  'BUDGET_EXCEEDED',
  'CONCURRENCY_LIMITED',
  'SUBJECT_REQUIRED',
  'TOO_MANY_SUBJECTS',
];

/** Who asks: the owner of its credential, and the environment whose keys it may verify. */
export interface VerifyingPrincipal
  extends Pick<Principal, 'ownerId' | 'verifiesEnvironment'>, Partial<Pick<Principal, 'may' | 'signedInUserId'>> {
  /** Null: a gateway without a credential of its own. */
  readonly kind: Principal['kind'] | null;
  readonly id: string;
}

/** The request that asks. */
export interface VerifyingCaller extends Pick<Caller, 'requestId' | 'clientRequestId'> {
  readonly principal: VerifyingPrincipal;
  /** Absent: `verify`. */
  readonly via?: RefusedVia;
}

/** Answers "may this key do this, now?". A refusal is a value, never an exception. */
@Injectable()
export class Verifier {
  constructor(
    private readonly recognizer: KeyResolver,
    private readonly gate: QuotaGate,
    private readonly lastUsed: LastUsed,
    private readonly meters: VerificationMetrics,
    private readonly counter: VerdictCounter,
    private readonly refusals: RefusedCalls,
    private readonly limits: KnownLimits,
  ) {}

  /**
   * Decides on a presented secret: at once, without a promise, where memory suffices. `asker`: only the owner of
   * its credential may settle a reservation that comes of it.
   *
   * @throws DomainError 503, as the promise's rejection, when nothing can be decided.
   */
  verify(question: VerifyQuestion, asker: VerifyingCaller): MaybePromise<VerdictView> {
    const recognition = this.recognizer.resolve(question.key);
    const verdict =
      recognition instanceof Promise
        ? recognition.then((known) => this.decide(known, question, asker))
        : this.decide(recognition, question, asker);
    return verdict instanceof Promise ? this.counted(verdict) : verdict;
  }

  /**
   * Decides on each by itself, in order: one whose form is wrong is `VALIDATION_FAILED`, one that cannot be decided
   * `UNAVAILABLE`, and neither spoils another.
   */
  verifyAll(items: readonly unknown[], asker: VerifyingCaller): MaybePromise<VerdictView[]> {
    const verdicts = items.map((item) => this.verifyItem(item, asker));
    return verdicts.every(isDecided) ? verdicts : Promise.all(verdicts as readonly Promise<VerdictView>[]);
  }

  private verifyItem(item: unknown, asker: VerifyingCaller): MaybePromise<VerdictView> {
    const reading = readBody(VerifyDto, item);
    if ('errors' in reading) return this.misshapen(reading.errors);
    const verdict = this.verify(reading.value as VerifyQuestion, asker);
    return verdict instanceof Promise ? verdict.catch(undecided) : verdict;
  }

  private misshapen(wrong: readonly FieldError[]): VerdictView {
    this.meters.count('VALIDATION_FAILED');
    const errors = wrong.map(({ path, message }) => ({ path: path || 'item', message }));
    // What is public of them: a name may be a secret.
    const { message: detail, extras } = validationFailed(errors);
    return { valid: false, code: 'VALIDATION_FAILED', detail, degraded: false, errors: [...(extras.errors ?? [])] };
  }

  private decide(
    recognition: ResolvedKey,
    question: VerifyQuestion,
    asker: VerifyingCaller,
  ): MaybePromise<VerdictView> {
    if (typeof recognition === 'string') return this.unproven(recognition);
    const refusal = staticRefusal(recognition, question, asker);
    if (refusal !== null) return this.refused(recognition, question, refusal, asker);
    if (question.dryRun === true) return this.dryRun(recognition, question, asker);
    const outcome = this.gate.admit(recognition.record, question, asker.principal.ownerId, recognition.databaseNowMs);
    return outcome instanceof Promise
      ? outcome.then((later) => this.decideAgain(recognition.record, later, question, asker))
      : this.answer(recognition, question, outcome, asker);
  }

  /** What the call would come to; nothing is taken. */
  private async dryRun(
    recognition: Recognised,
    question: VerifyQuestion,
    asker: VerifyingCaller,
  ): Promise<VerdictView> {
    const { record, databaseNowMs: nowMs } = recognition;
    const viewer = credentialViewer(asker.principal, record.key);
    const snapshot = await this.gate.snapshot(record, question, { viewer, nowMs, isBlind: false });
    return dryVerdict(recognition, question, snapshot, asker);
  }

  /**
   * While a lease was fetched the key may have changed: what counts is what it is now. Where other limits bind it now,
   * these decide. What was reserved before is released.
   */
  private async decideAgain(
    asked: KeyRecord,
    outcome: QuotaOutcome,
    question: VerifyQuestion,
    asker: VerifyingCaller,
  ): Promise<VerdictView> {
    const recognition = await this.recognisedAgain(question, outcome);
    const refusal = typeof recognition === 'string' ? null : staticRefusal(recognition, question, asker);
    if (
      typeof recognition !== 'string' &&
      refusal === null &&
      this.gate.isBoundAlike(asked, recognition.record, question)
    )
      return this.answer(recognition, question, outcome, asker);
    await this.gate.undo(outcome);
    return this.decide(recognition, question, asker);
  }

  /** What the key is now. Where that cannot be known, nothing is decided, and what was reserved is released. */
  private async recognisedAgain(question: VerifyQuestion, outcome: QuotaOutcome): Promise<ResolvedKey> {
    try {
      return await this.recognizer.resolve(question.key);
    } catch (error) {
      // Not waited for: what cannot be released ends with its time to live.
      this.gate.undo(outcome).catch(() => undefined);
      throw error;
    }
  }

  private answer(
    recognition: Recognised,
    question: VerifyQuestion,
    outcome: QuotaOutcome,
    asker: VerifyingCaller,
  ): VerdictView {
    if (outcome.refusal !== null) return this.refused(recognition, question, outcome.refusal, asker);
    const { key } = recognition.record;
    this.count(key.id, 'VALID');
    this.lastUsed.note(recognition.record, recognition.databaseNowMs);
    const verdict = this.verdict(recognition, question, null, asker);
    if (asker.via === undefined) this.tellLimits(verdict, recognition, question, asker);
    if (outcome.isDegraded) verdict.degraded = true;
    if (outcome.reservation !== null) {
      const { id, expiresAt, amountMicroCents, tokens, isAssumed } = outcome.reservation;
      verdict.reservation = { id, expiresAt: expiresAt.toISOString(), cents: centsFromMicroCents(amountMicroCents) };
      if (tokens !== null) verdict.reservation.tokens = Number(tokens);
      if (isAssumed) verdict.reservation.assumed = true;
    }
    return verdict;
  }

  private refused(
    recognition: Recognised,
    question: VerifyQuestion,
    refusal: StaticDecision | QuotaRefusal,
    asker: VerifyingCaller,
  ): VerdictView {
    if (question.dryRun !== true) {
      this.count(recognition.record.key.id, refusal.code);
      noteRefusal(this.refusals, recognition, question, refusal, asker);
    }
    const verdict = this.verdict(recognition, question, refusal, asker);
    if (verdict.limit !== undefined && asker.via === undefined) {
      verdict.limit = { ...verdict.limit };
      this.limits.addNumbers(verdict.limit, toldCall(verdict, recognition, question, asker));
    }
    return verdict;
  }

  /** What the limits of an admitted call come to; nothing where none binds the key. A gateway passes none of it on. */
  private tellLimits(
    verdict: VerdictView,
    recognition: Recognised,
    question: VerifyQuestion,
    asker: VerifyingCaller,
  ): void {
    const isBound = hasLimits(recognition.record);
    const isAsked = asksForLimits(question);
    if (!isBound && !isAsked) return;
    const call = toldCall(verdict, recognition, question, asker);
    const tightest = isBound ? this.limits.tightest(call) : undefined;
    if (tightest !== undefined) verdict.tightest = tightest;
    if (isAsked) verdict.limits = this.limits.all(call);
  }

  private verdict(
    recognition: Recognised,
    question: VerifyQuestion,
    refusal: StaticDecision | QuotaRefusal | null,
    asker: VerifyingCaller,
  ): VerdictView {
    const verdict = verdictView(recognition, refusal);
    const { key } = recognition.record;
    const rateLimits = this.gate.rateLimitsOf(key);
    if (rateLimits !== undefined) verdict.rateLimits = rateLimits;
    const budget = this.gate.budgetOf(key);
    if (budget !== undefined) verdict.budget = budget;
    if (question.explain === true) {
      verdict.checks = explainedBy(asker, recognition, question);
      const isQuota = refusal !== null && QUOTA_CODES.includes(refusal.code);
      const outcome = refusal === null ? 'passed' : isQuota ? 'failed' : 'skipped';
      verdict.checks.push({
        check: 'quota',
        outcome,
        detail: isQuota ? refusal.detail : refusal === null ? 'Passed.' : 'Not reached.',
      });
    }
    return verdict;
  }

  private unproven(code: Extract<VerdictCode, 'MALFORMED' | 'NOT_FOUND'>): VerdictView {
    this.meters.count(code);
    return {
      valid: false,
      code,
      detail: code === 'MALFORMED' ? 'This has not the shape of a key.' : 'There is no such key.',
      degraded: false,
    };
  }

  private count(keyId: string, code: VerdictCode): void {
    this.meters.count(code);
    this.counter.count(keyId, code);
  }

  private async counted(verdict: Promise<VerdictView>): Promise<VerdictView> {
    try {
      return await verdict;
    } catch (error) {
      this.meters.count('UNAVAILABLE');
      throw error;
    }
  }
}

function staticRefusal(
  { record, isDenied, databaseNowMs }: Recognised,
  question: VerifyQuestion,
  { principal: { verifiesEnvironment } }: VerifyingCaller,
): StaticDecision | null {
  return isDenied ? DENIED : decide(record, question, databaseNowMs, verifiesEnvironment);
}

function explainedBy(
  { principal: { verifiesEnvironment } }: VerifyingCaller,
  { record, databaseNowMs }: Recognised,
  question: VerifyQuestion,
) {
  return explainChecks(record, question, databaseNowMs, verifiesEnvironment);
}

function verdictView(
  { record: { key }, isDegraded }: Recognised,
  refusal: StaticDecision | QuotaRefusal | null,
): VerdictView {
  const verdict: VerdictView = {
    valid: refusal === null,
    code: refusal?.code ?? 'VALID',
    keyId: key.id,
    name: key.name,
    ownerId: key.ownerId,
    environment: key.environment,
    scopes: key.scopes,
    roles: key.roles,
    tags: key.tags,
    metadata: key.metadata,
    degraded: isDegraded,
  };
  if (refusal !== null) {
    verdict.detail = refusal.detail;
    if ('retryAfterSeconds' in refusal && refusal.retryAfterSeconds !== null)
      verdict.retryAfterSeconds = refusal.retryAfterSeconds;
    if ('limit' in refusal && refusal.limit !== undefined) verdict.limit = refusal.limit;
  }
  return verdict;
}

function asksForLimits({ include, explain }: VerifyQuestion): boolean {
  return explain === true || (include !== undefined && include.includes('limits'));
}

/** Whether limits that keys share bind a key. */
function hasLimits({ limits: { limits, slots, sliding, bySubject } }: KeyRecord): boolean {
  return limits.length + slots.length + sliding.length > 0 || bySubject !== null;
}

/** A call whose limits are told. */
function toldCall(
  { rateLimits = NO_WINDOWS }: VerdictView,
  { record, databaseNowMs: nowMs }: Recognised,
  { model, subject }: VerifyQuestion,
  { principal }: VerifyingCaller,
): ToldCall {
  const viewer = hasLimits(record) ? credentialViewer(principal, record.key) : UNKNOWN_VIEWER;
  return { record, limits: ofSubject(record.limits, subject), model, viewer, rateLimits, nowMs };
}

const NO_WINDOWS: RateLimitView[] = [];

/** What the call would come to; nothing was taken. */
function dryVerdict(
  recognition: Recognised,
  question: VerifyQuestion,
  { rateLimits, budget, refusal, checks, limits, tightest }: QuotaSnapshot,
  asker: VerifyingCaller,
): VerdictView {
  const verdict = verdictView(recognition, refusal);
  if (rateLimits.length > 0) verdict.rateLimits = rateLimits;
  if (budget !== null) verdict.budget = budget;
  if (refusal === null && tightest !== null && hasLimits(recognition.record)) verdict.tightest = tightest;
  if (asksForLimits(question)) verdict.limits = limits;
  if (question.explain === true) verdict.checks = [...explainedBy(asker, recognition, question), ...checks];
  return verdict;
}

/** The verdict of one item that a dependency's absence left undecided. @throws whatever else went wrong */
function undecided(error: unknown): VerdictView {
  const known: DomainError | null = domainErrorOf(error);
  if (known?.kind !== 'unavailable') throw error;
  return {
    valid: false,
    code: 'UNAVAILABLE',
    detail: known.message,
    retryAfterSeconds: known.extras.retryAfterSeconds ?? 1,
    degraded: false,
  };
}

function isDecided(verdict: MaybePromise<VerdictView>): verdict is VerdictView {
  return !(verdict instanceof Promise);
}
