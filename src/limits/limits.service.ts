import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { permissionDenied } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { Idempotency, type RepeatedAnswer } from '../api-keys/idempotency/idempotency.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { violatedConstraint } from '../common/database-errors.js';
import { DomainError } from '../common/domain-error.js';
import { requireVersion } from '../common/version.js';
import { auditedLimit } from '../quotas/limits/audited-limit.js';
import { limitRowChanged } from '../quotas/limits/limit-accounts.js';
import { listedOverrides } from './audited-override.js';
import { LimitAccountsRepository } from './limit-accounts.repository.js';
import type { CreateLimitDto, PutLimitDto, UpdateLimitDto } from './limit.dto.js';
import { changedLimit, limitWith, newLimit } from './limit-draft.js';
import { invalidLimit, limitAliasTaken, limitIsFixed, limitNotFound } from './limit.errors.js';
import type { Limit } from './limit.entity.js';
import { LimitChangeRights } from './limit-change-rights.js';
import { LimitPlacement } from './limit-placement.js';
import { faultsOfKeptAmounts, fixedFieldsChanged } from './limit-rules.js';
import { targetOf } from './limit-targets.js';
import { type LimitView, type PutLimitView, ReplacedLimitView } from './limit.view.js';
import { LimitsReader } from './limits-reader.service.js';
import { LimitsRepository } from './limits.repository.js';

const DELETE = 'platform:limits:delete';
const RESTART = 'send the request with ?restart=true to let a new limit take the place of this one.';

/** A limit after a change, and whether the change made it. */
export interface PutLimit {
  readonly limit: PutLimitView;
  readonly isNew: boolean;
}

/** What a change of a limit came to. */
interface Placed {
  readonly limit: Limit;
  readonly isNew: boolean;
  /** The limit whose place it has taken, or null. */
  readonly replaced: Limit | null;
}

/**
 * Changes of limits. What a limit has counted is never changed: it is in accounts, whose ids follow from the limit.
 * Locks are taken in one order: the lock of rules, targets, limits, accounts.
 */
@Injectable()
export class LimitsService {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly accounts: LimitAccountsRepository,
    private readonly placement: LimitPlacement,
    private readonly rights: LimitChangeRights,
    private readonly idempotency: Idempotency,
    private readonly reader: LimitsReader,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /**
   * @throws DomainError 400 contradictory fields, unknown target or zone; 409 LIMIT_ALIAS_TAKEN, LIMIT_EXISTS,
   *   TOO_MANY_LIMITS, LIMITS_NOT_ENFORCED; 422 IDEMPOTENCY_KEY_REUSED
   */
  async create(
    caller: KnownCaller,
    input: CreateLimitDto,
    idempotencyKey: string | null,
  ): Promise<RepeatedAnswer<LimitView>> {
    const principalId = caller.principal.ownerId;
    const request = { idempotencyKey, principalId, route: 'POST /limits', target: '', payload: input };
    return this.changes.transaction(caller, (change) =>
      this.idempotency.answer<LimitView>(
        change,
        request,
        async () => ({ status: 201, kid: null, body: await this.made(change, caller, input) }),
        // What a new limit has counted is nothing: the answer shows no caller more than another.
        async () => undefined,
      ),
    );
  }

  /**
   * An admin of its project may let a limit refuse more; any other change needs the permission.
   *
   * @throws DomainError 400; 403 ADMIN_MAY_ONLY_TIGHTEN; 404; 409 LIMIT_ALIAS_TAKEN, LIMIT_EXISTS, LIMIT_FIELD_FIXED;
   *   412 VERSION_MISMATCH
   */
  async update(caller: KnownCaller, id: string, input: UpdateLimitDto): Promise<LimitView> {
    const limit = await this.aliased(caller, async (change) => {
      const before = await this.lock(change.tx, caller, id);
      const after = changedLimit(before, input, this.clock.now());
      await this.rights.require(change.tx, caller.principal, before, after);
      return this.save(change, before, after);
    });
    return this.reader.viewFor(caller, limit);
  }

  /**
   * Makes the limit of an alias, or changes it to what the request says. With `restart` one that cannot be changed to
   * that ends, and a new one takes its place.
   *
   * @throws DomainError as create and update
   */
  async put(caller: KnownCaller, alias: string, input: PutLimitDto, restarts: boolean): Promise<PutLimit> {
    const { limit, isNew, replaced } = await this.aliased(caller, async (change) => {
      const limits = this.limits.in(change.tx);
      await limits.lockRules();
      const after = newLimit({ ...input, alias }, this.clock.now());
      const known = await limits.findByAlias(alias);
      await limits.keepTargets([after, ...(known === null ? [] : [known])].map(targetOf));
      const before = known && (await limits.findForUpdate(known.id));
      requireVersion(caller, 'limit', before?.id ?? null, before && auditedLimit(before));
      return before === null
        ? { limit: await this.insert(change, after), isNew: true, replaced: null }
        : this.replace(change, caller, before, after, restarts);
    });
    const view = await this.reader.viewFor(caller, limit);
    return { limit: { ...view, replaced: replaced && (await this.replacedFor(caller, replaced)) }, isNew };
  }

  /** Ends a limit. @throws DomainError 404; 412 VERSION_MISMATCH */
  async delete(caller: KnownCaller, id: string): Promise<void> {
    await this.changes.transaction(caller, async (change) => this.end(change, await this.lock(change.tx, caller, id)));
  }

  private async replace(
    change: Change,
    { principal }: KnownCaller,
    before: Limit,
    after: Limit,
    restarts: boolean,
  ): Promise<Placed> {
    const fixed = fixedFieldsChanged(before, after);
    if (fixed.length === 0) {
      const { id, countsFrom, createdAt } = before;
      const limit = await this.save(change, before, limitWith(after, { id, countsFrom, createdAt }));
      return { limit, isNew: false, replaced: null };
    }
    if (!restarts) throw limitIsFixed(fixed, RESTART);
    if (!principal.may(DELETE)) throw permissionDenied(DELETE);
    const accounts = this.accounts.in(change.tx);
    // Amounts of members are in the unit of their limit.
    const isKept = after.each !== null && after.each === before.each && after.unit === before.unit;
    const overrides = isKept ? await accounts.overridesInForce(before.id) : [];
    const faults = faultsOfKeptAmounts(
      after,
      overrides.map(({ amount }) => amount),
    );
    if (faults.length > 0) throw invalidLimit(faults);
    await this.end(change, before, { replacedBy: after.id });
    const kept = overrides.length === 0 ? {} : { overrides: listedOverrides(after.unit, overrides) };
    const limit = await this.insert(change, after, { replaces: before.id, ...kept });
    change.write(accounts.addOverrides(after.id, overrides));
    if (isKept && after.each === 'subject') change.write(accounts.keepSubjects(before.id, after.id));
    return { limit, isNew: true, replaced: before };
  }

  /** What the old limit had counted, for those who may know it. */
  private async replacedFor({ principal }: KnownCaller, limit: Limit): Promise<ReplacedLimitView> {
    const spent = principal.may('platform:limits:read') ? await this.accounts.spentOf(limit.id) : null;
    return ReplacedLimitView.of(limit, spent);
  }

  /** The view of a limit that the change makes, as the change sees it. */
  private async made(change: Change, caller: KnownCaller, input: CreateLimitDto): Promise<LimitView> {
    await this.limits.in(change.tx).lockRules();
    const limit = newLimit(input, this.clock.now());
    // No other limit gets the alias meanwhile: its change waits for the lock.
    await this.placement.requireFreeAlias(change.tx, limit);
    return this.reader.in(change.tx).viewFor(caller, await this.insert(change, limit));
  }

  private async insert({ tx, record, write }: Change, limit: Limit, details?: Record<string, unknown>): Promise<Limit> {
    await this.placement.requireNew(tx, limit);
    write(this.limits.in(tx).insert(limit));
    record({
      action: 'limits:create',
      resourceType: 'limit',
      resourceId: limit.id,
      changes: diff(null, auditedLimit(limit)),
      ...(details === undefined ? {} : { details }),
    });
    return limit;
  }

  private async save({ tx, record, write }: Change, before: Limit, after: Limit): Promise<Limit> {
    const changes = diff(auditedLimit(before), auditedLimit(after));
    if (changes.length === 0) return before;
    await this.placement.require(tx, after);
    write(this.limits.in(tx).update(after));
    write(limitRowChanged(tx, before, after));
    record({ action: 'limits:update', resourceType: 'limit', resourceId: after.id, changes });
    return after;
  }

  private async end({ tx, record, write }: Change, limit: Limit, details?: Record<string, unknown>): Promise<void> {
    const ended = limitWith(limit, { endedAt: this.clock.now() });
    await this.limits.in(tx).end(ended);
    write(limitRowChanged(tx, limit, ended));
    record({
      action: 'limits:delete',
      resourceType: 'limit',
      resourceId: limit.id,
      changes: diff(auditedLimit(limit), null),
      ...(details === undefined ? {} : { details }),
    });
  }

  /** The rules, the limit's target and the limit, in this order. @throws DomainError 404; 412 VERSION_MISMATCH */
  private async lock(tx: EntityManager, caller: KnownCaller, id: string): Promise<Limit> {
    const limits = this.limits.in(tx);
    await limits.lockRules();
    const known = await limits.findById(id);
    if (known !== null) await limits.keepTargets([targetOf(known)]);
    const limit = known && (await limits.findForUpdate(id));
    if (limit === null) throw limitNotFound();
    requireVersion(caller, 'limit', id, auditedLimit(limit));
    return limit;
  }

  /** A change that may give an alias, which may be taken. */
  private aliased<T>(caller: KnownCaller, work: (change: Change) => Promise<T>): Promise<T> {
    return this.changes.transaction(caller, work).catch((error: unknown) => {
      throw error instanceof DomainError || violatedConstraint(error) !== 'quota_limit_alias_key'
        ? error
        : limitAliasTaken();
    });
  }
}
