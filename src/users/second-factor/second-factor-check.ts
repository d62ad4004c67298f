import { Injectable, Logger } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { Metrics } from '../../common/metrics.js';
import { Config } from '../../config/config.js';
import { openSecret, sealSecret } from './factor-secret.js';
import { hashRecoveryCode, readRecoveryCode } from './recovery-codes.js';
import { codeRefused, mfaRequired, tooManyCodes } from './second-factor.errors.js';
import { type Attempt, SecondFactorRepository } from './second-factor.repository.js';
import { stepOf } from './totp.js';

/** A code that is right; it is used up when the session is opened. */
export type ProvenCode =
  | { readonly kind: 'totp'; readonly factorId: string; readonly step: number }
  | { readonly kind: 'recovery-code'; readonly codeHash: Buffer };

const OUTCOMES = ['right', 'wrong', 'throttled'] as const;

/** The second step of a sign-in: is a code needed, and is it right. Called for a person whose password was right. */
@Injectable()
export class SecondFactorCheck {
  private readonly logger = new Logger('SecondFactor');
  private readonly codes: ReturnType<typeof Metrics.prototype.counter<'outcome'>>;

  constructor(
    private readonly factors: SecondFactorRepository,
    private readonly config: Config,
    meters: Metrics,
  ) {
    this.codes = meters.counter('latchkey_second_factor_codes_total', 'Codes that were sent with a right password.', [
      'outcome',
    ]);
    for (const outcome of OUTCOMES) this.codes.inc({ outcome }, 0);
  }

  /**
   * The proof that `code` is; null for a user without a second factor. A try is taken before the code is looked at, so
   * that no more than five are tried within a step, whatever comes at the same time.
   *
   * @throws DomainError 401 MFA_REQUIRED, MFA_CODE_REFUSED; 429 TOO_MANY_REQUESTS; 503
   */
  async prove(userId: string, code: string | undefined): Promise<ProvenCode | null> {
    if (!(await this.factors.isSetUp(userId))) return null;
    if (code === undefined) throw mfaRequired();
    const attempt = await this.factors.takeTry(userId, 'confirmed');
    const proven = attempt && (await this.look(userId, code, attempt));
    this.codes.inc({ outcome: attempt === null ? 'throttled' : proven === null ? 'wrong' : 'right' });
    if (attempt === null) throw tooManyCodes();
    if (proven === null) throw codeRefused();
    return proven;
  }

  /**
   * Uses up what `prove` gave, in the transaction that opens the session and has locked the user. Of two requests with
   * one code the second is refused, and so is one whose user has got, lost or changed the factor meanwhile.
   *
   * @throws DomainError 401 MFA_REQUIRED, MFA_CODE_REFUSED
   */
  async use(tx: EntityManager, userId: string, proven: ProvenCode | null): Promise<void> {
    const factors = this.factors.in(tx);
    if (proven === null) {
      if (await factors.isSetUp(userId)) throw mfaRequired();
      return;
    }
    const isUsed =
      proven.kind === 'totp'
        ? await factors.useStep(userId, proven.factorId, proven.step)
        : await factors.useRecoveryCode(userId, proven.codeHash);
    if (!isUsed) throw codeRefused();
  }

  private async look(userId: string, code: string, attempt: Attempt): Promise<ProvenCode | null> {
    const secret = openSecret(this.config.peppers, { userId, id: attempt.id }, attempt);
    if (secret === null) {
      this.logger.error({
        msg: 'the secret of a second factor does not open: its row was changed outside of Latchkey',
        userId,
      });
      return null;
    }
    if (attempt.pepperVersion !== this.config.peppers[0]!.version) {
      const sealed = sealSecret(this.config.peppers, { userId, id: attempt.id }, secret);
      await this.factors.reseal(userId, attempt.sealedSecret, sealed);
    }
    const step = stepOf(secret, code.replace(/\s/g, ''), attempt.nowStep);
    if (step !== null) return step <= attempt.lastStep ? null : { kind: 'totp', factorId: attempt.id, step };
    const recoveryCode = readRecoveryCode(code);
    if (recoveryCode === null) return null;
    const codeHash = hashRecoveryCode(secret, userId, recoveryCode);
    return (await this.factors.hasRecoveryCode(userId, codeHash)) ? { kind: 'recovery-code', codeHash } : null;
  }
}
