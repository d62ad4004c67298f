import { Injectable } from '@nestjs/common';
import type { DomainError } from '../common/domain-error.js';
import { domainErrorOf } from '../common/problem.filter.js';
import { VerdictCounter } from '../usage/verdict-counter.js';
import { type Question, type StaticDecision, type VerdictCode, decide, explainChecks } from './checks.js';
import { KeyRecognizer, type Recognised, type Recognition } from './key-recognizer.js';
import { LastUsed } from './last-used.js';
import { VerificationMeters } from './verification-meters.js';
import type { VerdictView } from './verdict.view.js';
import type { VerifyDto } from './verify.dto.js';

const DENIED: StaticDecision = { code: 'REVOKED', detail: 'The key has been revoked.' };

/** Answers "may this key do this, now?". A refusal is a value, never an exception. */
@Injectable()
export class Verifier {
  constructor(
    private readonly recognizer: KeyRecognizer,
    private readonly lastUsed: LastUsed,
    private readonly meters: VerificationMeters,
    private readonly verdicts: VerdictCounter,
  ) {}

  /**
   * Decides on a presented secret: at once, without a promise, where memory suffices.
   *
   * @throws DomainError 503, as the promise's rejection, when nothing can be decided.
   */
  verify(question: VerifyDto): VerdictView | Promise<VerdictView> {
    const recognition = this.recognizer.recognise(question.key);
    return recognition instanceof Promise ? this.verdictLater(recognition, question) : this.verdictOn(recognition, question);
  }

  /** Decides on each by itself, in order; one that cannot be decided is `UNAVAILABLE` and spoils no other. */
  verifyAll(questions: readonly VerifyDto[]): VerdictView[] | Promise<VerdictView[]> {
    const verdicts = questions.map((question) => {
      const verdict = this.verify(question);
      return verdict instanceof Promise ? verdict.catch(undecided) : verdict;
    });
    return verdicts.every(isDecided) ? verdicts : Promise.all(verdicts as readonly Promise<VerdictView>[]);
  }

  private async verdictLater(recognition: Promise<Recognition>, question: VerifyDto): Promise<VerdictView> {
    try {
      return this.verdictOn(await recognition, question);
    } catch (error) {
      this.meters.count('UNAVAILABLE');
      throw error;
    }
  }

  private verdictOn(recognition: Recognition, question: VerifyDto): VerdictView {
    if (typeof recognition === 'string') {
      this.meters.count(recognition);
      return unproven(recognition);
    }
    const refusal = recognition.isDenied ? DENIED : decide(recognition.record, question, recognition.databaseNowMs);
    const code = refusal?.code ?? 'VALID';
    this.meters.count(code);
    if (question.dryRun !== true) this.verdicts.count(recognition.record.key.id, code);
    if (refusal === null && question.dryRun !== true) this.lastUsed.note(recognition.record, recognition.databaseNowMs);
    return verdictView(recognition, question, refusal);
  }
}

function verdictView({ record: { key, secret, owner }, isDegraded, databaseNowMs }: Recognised, question: VerifyDto, refusal: StaticDecision | null): VerdictView {
  const verdict: VerdictView = {
    valid: refusal === null,
    code: refusal?.code ?? 'VALID',
    keyId: key.id,
    name: key.name,
    ownerId: key.ownerId,
    scopes: key.scopes,
    roles: key.roles,
    tags: key.tags,
    metadata: key.metadata,
    degraded: isDegraded,
  };
  if (refusal !== null) verdict.detail = refusal.detail;
  if (question.explain === true) verdict.checks = explainChecks({ key, secret, owner }, question satisfies Question, databaseNowMs);
  return verdict;
}

function unproven(code: Extract<VerdictCode, 'MALFORMED' | 'NOT_FOUND'>): VerdictView {
  return {
    valid: false,
    code,
    detail: code === 'MALFORMED' ? 'This has not the shape of a key.' : 'There is no such key.',
    degraded: false,
  };
}

/** The verdict of one item that a dependency's absence left undecided. @throws whatever else went wrong */
function undecided(error: unknown): VerdictView {
  const known: DomainError | null = domainErrorOf(error);
  if (known?.kind !== 'unavailable') throw error;
  return { valid: false, code: 'UNAVAILABLE', detail: known.message, retryAfterSeconds: known.extras.retryAfterSeconds ?? 1, degraded: false };
}

function isDecided(verdict: VerdictView | Promise<VerdictView>): verdict is VerdictView {
  return !(verdict instanceof Promise);
}
