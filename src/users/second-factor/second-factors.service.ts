import { Injectable } from '@nestjs/common';
import { unauthenticated } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { GrantsReader } from '../../access/grants.reader.js';
import { type Change, Changes } from '../../audit/changes.js';
import { uuidv7 } from '../../common/uuid.js';
import { Config } from '../../config/config.js';
import { Sessions } from '../sessions.service.js';
import { EnrolmentDuty } from './enrolment-duty.js';
import { openSecret, sealSecret } from './factor-secret.js';
import { OwnPassword, ownIdOf } from './own-password.js';
import { drawRecoveryCodes, hashRecoveryCode, readRecoveryCode } from './recovery-codes.js';
import { secondFactorExists, secondFactorNotFound, tooManyCodes, wrongConfirmation } from './second-factor.errors.js';
import { SecondFactorRepository } from './second-factor.repository.js';
import type { EnrolmentView, RecoveryCodesView, SecondFactorView } from './second-factor.view.js';
import { newFactorSecret, secretText, stepOf, uriOf } from './totp.js';

/** A person's own second factor: set up, with new recovery codes, removed. */
@Injectable()
export class SecondFactors {
  constructor(
    private readonly factors: SecondFactorRepository,
    private readonly own: OwnPassword,
    private readonly duty: EnrolmentDuty,
    private readonly sessions: Sessions,
    private readonly grants: GrantsReader,
    private readonly changes: Changes,
    private readonly config: Config,
  ) {}

  /** What the caller has. @throws DomainError 403 SESSION_REQUIRED */
  async find(caller: KnownCaller): Promise<SecondFactorView> {
    const state = await this.factors.findState(ownIdOf(caller));
    return {
      isSetUp: state !== null,
      setUpAt: state?.confirmedAt ?? null,
      recoveryCodesLeft: state?.recoveryCodesLeft ?? 0,
      isRequired: this.duty.concerns(caller.principal.grants),
    };
  }

  /**
   * Draws a secret, which works once `confirm` has seen a code of it; in place of one that nobody confirmed.
   *
   * @throws DomainError 403 SESSION_REQUIRED, WRONG_PASSWORD; 409 HAS_NO_PASSWORD, SECOND_FACTOR_EXISTS; 429
   */
  async begin(caller: KnownCaller, password: string): Promise<EnrolmentView> {
    const person = await this.own.confirm(caller, password);
    const secret = newFactorSecret();
    const factor = { userId: person.id, id: uuidv7() };
    const sealed = sealSecret(this.config.peppers, factor, secret);
    await this.changes.transaction(caller, async ({ tx, record }) => {
      await this.own.lock(tx, person);
      if (!(await this.factors.in(tx).begin(factor, sealed))) throw secondFactorExists();
      record({ resourceType: 'user', resourceId: person.id, details: { credential: 'second-factor' } });
    });
    const issuer = `Latchkey ${new URL(this.config.publicUrl).host}`;
    return { secret: secretText(secret), uri: uriOf(secret, issuer, person.email ?? person.id) };
  }

  /**
   * Makes the factor work, and ends the other sessions: they were opened without it.
   *
   * @throws DomainError 400 when the code is not one of this secret; 403 SESSION_REQUIRED; 404 SECOND_FACTOR_NOT_FOUND;
   * 429
   */
  async confirm(caller: KnownCaller, code: string): Promise<RecoveryCodesView> {
    const id = ownIdOf(caller);
    const attempt = await this.factors.takeTry(id, 'pending');
    if (attempt === null) throw (await this.factors.isPending(id)) ? tooManyCodes() : secondFactorNotFound();
    const secret = openSecret(this.config.peppers, { userId: id, id: attempt.id }, attempt);
    const step = secret && stepOf(secret, code.replace(/\s/g, ''), attempt.nowStep);
    if (secret === null || step === null) throw wrongConfirmation();
    const recoveryCodes = drawRecoveryCodes();
    await this.changes.transaction(caller, async (change) => {
      const { tx, record, write } = change;
      const holder = await this.grants.in(tx).findHolder(id, 'update');
      if (!holder?.isActive) throw unauthenticated(true);
      if (!(await this.factors.in(tx).confirm(id, attempt.id, step))) throw secondFactorNotFound();
      await this.store(change, id, secret, recoveryCodes);
      write(this.sessions.in(tx).closeAllOf(id, caller.principal.sessionId));
      // With the id: a row that has the id of an earlier factor differs from the trail.
      const details = { credential: 'second-factor', factorId: attempt.id };
      record({ resourceType: 'user', resourceId: id, details });
    });
    return { recoveryCodes };
  }

  /**
   * Draws recovery codes anew; the old ones open nothing from then on.
   *
   * @throws DomainError 403 SESSION_REQUIRED, WRONG_PASSWORD; 404 SECOND_FACTOR_NOT_FOUND; 409 HAS_NO_PASSWORD; 429
   */
  async redrawRecoveryCodes(caller: KnownCaller, password: string): Promise<RecoveryCodesView> {
    const person = await this.own.confirm(caller, password);
    const recoveryCodes = drawRecoveryCodes();
    await this.changes.transaction(caller, async (change) => {
      await this.own.lock(change.tx, person);
      const sealed = await this.factors.in(change.tx).findSealed(person.id);
      const secret = sealed && openSecret(this.config.peppers, { userId: person.id, id: sealed.id }, sealed);
      if (secret === null) throw secondFactorNotFound();
      await this.store(change, person.id, secret, recoveryCodes);
      change.record({ resourceType: 'user', resourceId: person.id, details: { credential: 'recovery-codes' } });
    });
    return { recoveryCodes };
  }

  /** @throws DomainError 403 SESSION_REQUIRED, WRONG_PASSWORD; 404 SECOND_FACTOR_NOT_FOUND; 409 HAS_NO_PASSWORD; 429 */
  async remove(caller: KnownCaller, password: string): Promise<void> {
    const person = await this.own.confirm(caller, password);
    await this.changes.transaction(caller, async ({ tx, record }) => {
      await this.own.lock(tx, person);
      if (!(await this.factors.in(tx).remove(person.id))) throw secondFactorNotFound();
      record({ resourceType: 'user', resourceId: person.id, details: { credential: 'second-factor' } });
    });
  }

  private store({ tx }: Change, userId: string, secret: Buffer, codes: readonly string[]): Promise<void> {
    const hashes = codes.map((code) => hashRecoveryCode(secret, userId, readRecoveryCode(code)!));
    return this.factors.in(tx).replaceRecoveryCodes(userId, hashes);
  }
}
