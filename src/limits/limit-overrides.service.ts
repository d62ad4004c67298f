import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../access/caller.js';
import { Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { validationFailed } from '../common/domain-error.js';
import { auditedOverride } from './audited-override.js';
import { amountFrom } from './limit-amount.js';
import { LimitAccountsRepository } from './limit-accounts.repository.js';
import type { OverrideDto } from './limit.dto.js';
import { memberIdOf } from './limit-members.js';
import { limitIsShared, limitMemberNotFound, limitNotFound } from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import type { Override } from './limit-override.js';
import type { LimitAccountView } from './limit.view.js';
import { targetOf } from './limit-targets.js';
import { LimitsReader } from './limits-reader.service.js';
import { LimitsRepository } from './limits.repository.js';

/** Amounts of their own for single members of a limit. One that has ended by the clock is as good as none. */
@Injectable()
export class LimitOverrides {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly accounts: LimitAccountsRepository,
    private readonly reader: LimitsReader,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /** Gives a member an amount of its own. @throws DomainError 400; 404; 409 LIMIT_IS_SHARED */
  async put(caller: KnownCaller, id: string, member: string, input: OverrideDto): Promise<LimitAccountView> {
    const until = input.until == null ? null : new Date(input.until);
    if (until !== null && until <= this.clock.now())
      throw validationFailed([{ path: 'until', message: 'must lie in the future' }]);
    const { limit, memberId } = await this.changes.transaction(caller, async ({ tx, record, write }) => {
      const found = await this.lock(tx, id);
      const memberId = memberIdOf(found, member);
      const put = { limit: found, memberId };
      const { unit, per } = found;
      const after: Override = { memberId, amount: amountFrom(unit, input, per), until, reason: input.reason ?? '' };
      const accounts = this.accounts.in(tx);
      const before = await accounts.findOverride(id, memberId);
      if (before === null && !(await accounts.isMember(found, memberId))) throw limitMemberNotFound();
      const changes = diff(before && auditedOverride(unit, before), auditedOverride(unit, after));
      if (changes.length === 0) return put;
      if (found.each === 'subject') write(accounts.nameSubject(id, memberId, member));
      write(accounts.putOverride(id, after));
      // Of a subject the id that is made of its text: the trail cannot be erased.
      record({ resourceType: 'limit', resourceId: id, changes, details: { memberId } });
      return put;
    });
    return this.reader.accountOf(limit, memberId);
  }

  /** Takes the amount of its own from a member. A member that has none is as good. @throws DomainError 404; 409 */
  async delete(caller: KnownCaller, id: string, member: string): Promise<void> {
    await this.changes.transaction(caller, async ({ tx, record, write }) => {
      const found = await this.lock(tx, id);
      const memberId = memberIdOf(found, member);
      const accounts = this.accounts.in(tx);
      const before = await accounts.findOverride(id, memberId);
      if (before === null) {
        if (!(await accounts.isMember(found, memberId))) throw limitMemberNotFound();
        return;
      }
      write(accounts.deleteOverride(id, memberId));
      const changes = diff(auditedOverride(found.unit, before), null);
      record({ resourceType: 'limit', resourceId: id, changes, details: { memberId } });
    });
  }

  private async lock(tx: EntityManager, id: string): Promise<Limit> {
    const limits = this.limits.in(tx);
    const known = await limits.findById(id);
    if (known !== null) await limits.keepTargets([targetOf(known)]);
    const limit = known && (await limits.findForUpdate(id));
    if (limit === null) throw limitNotFound();
    if (limit.each === null) throw limitIsShared();
    return limit;
  }
}
