import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { validationFailed } from '../common/domain-error.js';
import { limitsMayBegin } from '../database/older-replicas.js';
import {
  limitAliasTaken,
  limitExists,
  limitsNotEnforced,
  tooManyHoldingLimits,
  tooManyLimits,
  tooManyTokenWindows,
} from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import {
  MAX_HOLDING_LIMITS,
  MAX_LIMITS,
  MAX_TOKEN_WINDOWS,
  faultsOfLimit,
  identityOf,
  isHolding,
  isTokenWindow,
} from './limit-rules.js';
import { targetOf } from './limit-targets.js';
import { LimitsRepository } from './limits.repository.js';

/** Whether a target can have a limit, beside those that it has. To be asked under the lock of rules. */
@Injectable()
export class LimitPlacement {
  constructor(private readonly limits: LimitsRepository) {}

  /**
   * For a new limit: its target is kept until the transaction ends.
   *
   * @throws DomainError as `require`; 400 unknown target; 409 LIMITS_NOT_ENFORCED while a replica may run that lets
   *   every call pass
   */
  async requireNew(tx: EntityManager, limit: Limit): Promise<void> {
    if (!(await limitsMayBegin(tx, limit))) throw limitsNotEnforced();
    await this.require(tx, limit);
    if ((await this.limits.in(tx).keepTargets([targetOf(limit)])) < 1)
      throw validationFailed([{ path: 'target.id', message: TARGET_SENTENCES[limit.targetKind] }]);
  }

  /** @throws DomainError 400 contradictory fields, unknown zone; 409 LIMIT_EXISTS, TOO_MANY_LIMITS */
  async require(tx: EntityManager, limit: Limit): Promise<void> {
    const faults = faultsOfLimit(limit);
    if (faults.length > 0) throw validationFailed(faults);
    const limits = this.limits.in(tx);
    if (limit.timeZone !== 'UTC' && !(await limits.isZone(limit.timeZone)))
      throw validationFailed([{ path: 'timeZone', message: ZONE_SENTENCE }]);
    const others = (await limits.findOfTarget(targetOf(limit))).filter(({ id }) => id !== limit.id);
    const twin = others.find((other) => identityOf(other) === identityOf(limit));
    if (twin !== undefined) throw limitExists(twin.id);
    requireRoom(limit, others);
  }

  /** @throws DomainError 409 LIMIT_ALIAS_TAKEN */
  async requireFreeAlias(tx: EntityManager, { id, alias }: Limit): Promise<void> {
    const holder = alias === null ? null : await this.limits.in(tx).findByAlias(alias);
    if (holder !== null && holder.id !== id) throw limitAliasTaken();
  }
}

/** @throws DomainError 409 TOO_MANY_LIMITS */
function requireRoom(limit: Limit, others: readonly Limit[]): void {
  const idsOf = (limits: readonly Limit[]) => limits.map(({ id }) => id);
  const [most, mostHolding] = [MAX_LIMITS[limit.targetKind], MAX_HOLDING_LIMITS[limit.targetKind]];
  if (others.length >= most) throw tooManyLimits(most, idsOf(others));
  const holding = others.filter(isHolding);
  if (isHolding(limit) && holding.length >= mostHolding) throw tooManyHoldingLimits(mostHolding, idsOf(holding));
  const windows = others.filter(isTokenWindow);
  if (isTokenWindow(limit) && windows.length >= MAX_TOKEN_WINDOWS)
    throw tooManyTokenWindows(MAX_TOKEN_WINDOWS, idsOf(windows));
}

const ZONE_SENTENCE = 'must be a time zone of the IANA database, such as Europe/Berlin';
const TARGET_SENTENCES = {
  key: 'there is no such key, or it is revoked',
  owner: 'there is no such user',
  project: 'there is no such project',
  installation: 'must be left out: an installation has no id',
} as const;
