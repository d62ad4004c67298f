import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { validationFailed } from '../common/domain-error.js';
import { centsFromMicroCents } from '../common/money.js';
import { Config } from '../config/config.js';
import { limitsMayBegin } from '../database/older-replicas.js';
import { LimitAccountsRepository, type LimitReach } from './limit-accounts.repository.js';
import { limitExists, limitsNotEnforced, tooManyLimits } from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import { MAX_LIMITS, faultsOfLimit, identityOf } from './limit-rules.js';
import { targetOf } from './limit-targets.js';
import { type LimitDryRunView, sentenceOf } from './limit.view.js';
import { nameOf } from './limits-reader.service.js';
import { LimitsRepository } from './limits.repository.js';

/** Whether a target can have a limit, beside those that it has, and how much the limit would concern. */
@Injectable()
export class LimitPlacement {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly accounts: LimitAccountsRepository,
    private readonly config: Config,
  ) {}

  /**
   * To be asked under the lock of rules, for a new limit and for one that has changed.
   *
   * @throws DomainError 400 contradictory fields, unknown target or zone; 409 LIMIT_EXISTS, TOO_MANY_LIMITS
   */
  async require(tx: EntityManager, limit: Limit): Promise<void> {
    const faults = faultsOfLimit(limit);
    if (faults.length > 0) throw validationFailed(faults);
    const limits = this.limits.in(tx);
    if (limit.timeZone !== 'UTC' && !(await limits.isZone(limit.timeZone)))
      throw validationFailed([{ path: 'timeZone', message: ZONE_SENTENCE }]);
    const others = (await limits.findOfTarget(targetOf(limit))).filter(({ id }) => id !== limit.id);
    const twin = others.find((other) => identityOf(other) === identityOf(limit));
    if (twin !== undefined) throw limitExists(twin.id);
    const most = MAX_LIMITS[limit.targetKind];
    if (others.length >= most)
      throw tooManyLimits(
        most,
        others.map(({ id }) => id),
      );
    if (!(await limits.keepTarget(targetOf(limit))))
      throw validationFailed([{ path: 'target.id', message: TARGET_SENTENCES[limit.targetKind] }]);
  }

  /** @throws DomainError 409 LIMITS_NOT_ENFORCED while a replica may run that lets every call pass */
  async requireEnforcement(tx: EntityManager): Promise<void> {
    if (!(await limitsMayBegin(tx))) throw limitsNotEnforced();
  }

  /** What a limit would concern. @param before the stored limit of which it is a change; null: it is new */
  async dryRun(limit: Limit, before: Limit | null): Promise<LimitDryRunView> {
    const [names, reach, cost, full] = await Promise.all([
      this.limits.namesOf([targetOf(limit)]),
      this.accounts.reachOf(limit),
      limit.per === 'total' ? null : this.accounts.costSoFar(limit),
      before === null ? null : this.accounts.countFull(before.id, limit.amount),
    ]);
    const accountCount = accountsIn(limit, reach);
    return {
      sentence: sentenceOf(limit, nameOf(limit, names), this.config.currency),
      keyCount: reach.keys,
      ownerCount: reach.owners,
      accountCount,
      exhaustedCount: limit.mode === 'observe' ? 0 : limit.amount === 0n ? accountCount : (full ?? 0),
      costSoFarCents: cost === null ? null : centsFromMicroCents(cost),
    };
  }
}

const ZONE_SENTENCE = 'must be a time zone of the IANA database, such as Europe/Berlin';
const TARGET_SENTENCES = {
  key: 'there is no such key, or it is revoked',
  owner: 'there is no such user',
  project: 'there is no such project',
  installation: 'must be left out: an installation has no id',
} as const;

function accountsIn({ each }: Limit, { keys, owners }: LimitReach): number {
  if (each === null) return 1;
  return each === 'key' ? keys : owners;
}
