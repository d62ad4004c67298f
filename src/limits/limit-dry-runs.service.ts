import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../access/caller.js';
import { Changes } from '../audit/changes.js';
import { Clock } from '../common/clock.js';
import { requireVersion } from '../common/version.js';
import { Config } from '../config/config.js';
import { auditedLimit } from '../quotas/limits/audited-limit.js';
import { LimitAccountsRepository, type LimitReach, isReported } from './limit-accounts.repository.js';
import { inCents, inUnit } from './limit-amount.js';
import type { CreateLimitDto, UpdateLimitDto } from './limit.dto.js';
import { changedLimit, newLimit } from './limit-draft.js';
import { limitNotFound } from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import { LimitChangeRights } from './limit-change-rights.js';
import { LimitPlacement } from './limit-placement.js';
import { targetOf } from './limit-targets.js';
import { type LimitDryRunView, type UnknownUse, sentenceOf } from './limit.view.js';
import { nameOf } from './limits-reader.service.js';
import { LimitsRepository } from './limits.repository.js';

/**
 * What a change of a limit would come to. Whether it may be made is asked under the lock of rules, which others wait
 * for; what it concerns is counted after that, without any lock.
 */
@Injectable()
export class LimitDryRuns {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly accounts: LimitAccountsRepository,
    private readonly placement: LimitPlacement,
    private readonly rights: LimitChangeRights,
    private readonly changes: Changes,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {}

  /** @throws DomainError as the creation of the limit */
  async create(caller: KnownCaller, input: CreateLimitDto): Promise<LimitDryRunView> {
    const limit = newLimit(input, this.clock.now());
    await this.changes.transaction(caller, async ({ tx }) => {
      await this.limits.in(tx).lockRules();
      await this.placement.requireNew(tx, limit);
      await this.placement.requireFreeAlias(tx, limit);
    });
    return this.tell(caller, limit, null);
  }

  /** @throws DomainError as the change of the limit */
  async update(caller: KnownCaller, id: string, input: UpdateLimitDto): Promise<LimitDryRunView> {
    const { before, after } = await this.changes.transaction(caller, async ({ tx }) => {
      await this.limits.in(tx).lockRules();
      const found = await this.limits.in(tx).findById(id);
      if (found === null) throw limitNotFound();
      requireVersion(caller, 'limit', id, auditedLimit(found));
      const changed = changedLimit(found, input, this.clock.now());
      await this.rights.require(tx, caller.principal, found, changed);
      await this.placement.require(tx, changed);
      await this.placement.requireFreeAlias(tx, changed);
      return { before: found, after: changed };
    });
    return this.tell(caller, after, before);
  }

  /** @param before the stored limit of which it is a change; null: it is new */
  private async tell({ principal }: KnownCaller, limit: Limit, before: Limit | null): Promise<LimitDryRunView> {
    const seesNumbers = principal.may('platform:limits:read');
    const [names, reach, use, full] = await Promise.all([
      this.limits.namesOf([targetOf(limit)]),
      this.accounts.reachOf(limit),
      this.usedSoFar(limit, seesNumbers),
      before === null || !seesNumbers ? null : this.accounts.countFull(before.id, limit.amount),
    ]);
    const accountCount = accountsIn(limit, reach);
    return {
      ...sentenceOf(limit, nameOf(limit, names), this.config.currency),
      keyCount: reach?.keys ?? null,
      ownerCount: reach?.owners ?? null,
      accountCount,
      exhaustedCount: exhaustedIn(limit, { accountCount, full, isNew: before === null }),
      ...use,
    };
  }

  private async usedSoFar(limit: Limit, seesNumbers: boolean): Promise<UseSoFar> {
    if (!isReported(limit)) return unknownUse('not-reported');
    if (limit.per === 'total') return unknownUse('total');
    if (!seesNumbers) return unknownUse('not-permitted');
    const used = await this.accounts.usedSoFar(limit);
    if (used === null) return unknownUse('too-many-rows');
    return { usedSoFar: inUnit(limit.unit, used), costSoFarCents: inCents(limit.unit, used), costUnknown: null };
  }
}

type UseSoFar = Pick<LimitDryRunView, 'usedSoFar' | 'costSoFarCents' | 'costUnknown'>;

function unknownUse(costUnknown: UnknownUse): UseSoFar {
  return { usedSoFar: null, costSoFarCents: null, costUnknown };
}

/** null: not counted, because there are too many keys, or it is not known which subjects will call. */
function accountsIn({ each }: Limit, reach: LimitReach | null): number | null {
  if (each === null) return 1;
  if (each === 'subject') return null;
  return (each === 'key' ? reach?.keys : reach?.owners) ?? null;
}

/** An amount of 0 refuses members that have no account yet, and a limit that observes refuses none. */
function exhaustedIn(
  { mode, amount }: Limit,
  { accountCount, full, isNew }: { accountCount: number | null; full: number | null; isNew: boolean },
): number | null {
  if (mode === 'observe') return 0;
  if (amount === 0n) return accountCount;
  return isNew ? 0 : full;
}
