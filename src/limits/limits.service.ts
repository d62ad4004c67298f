import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { permissionDenied } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { type Change, Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { violatedConstraint } from '../common/database-errors.js';
import { DomainError } from '../common/domain-error.js';
import { microCentsFromCents } from '../common/money.js';
import { uuidv7 } from '../common/uuid.js';
import { requireVersion } from '../common/version.js';
import { limitRowChanged } from '../quotas/limits/limit-accounts.js';
import { auditedLimit } from './audited-limit.js';
import type { CreateLimitDto, PutLimitDto, UpdateLimitDto } from './limit.dto.js';
import { limitAliasTaken, limitIsFixed, limitNotFound } from './limit.errors.js';
import { Limit } from './limit.entity.js';
import { LimitPlacement } from './limit-placement.js';
import { fixedFieldsChanged } from './limit-rules.js';
import { targetFrom } from './limit-targets.js';
import type { LimitDryRunView, LimitView } from './limit.view.js';
import { LimitsReader } from './limits-reader.service.js';
import { LimitsRepository } from './limits.repository.js';

const DELETE = 'platform:limits:delete';
const CREATE_ANOTHER = 'make another limit, and delete this one.';
const RESTART = 'send the request with ?restart=true to let a new limit take the place of this one.';

/** A limit after a change, and whether the change made it. */
export interface PutLimit {
  readonly limit: LimitView;
  readonly isNew: boolean;
}

/** Changes of limits. What a limit has counted is never changed: it is in accounts, whose ids follow from the limit. */
@Injectable()
export class LimitsService {
  constructor(
    private readonly limits: LimitsRepository,
    private readonly placement: LimitPlacement,
    private readonly reader: LimitsReader,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /**
   * @throws DomainError 400 contradictory fields, unknown target or zone; 409 LIMIT_ALIAS_TAKEN, LIMIT_EXISTS,
   *   LIMITS_NOT_ENFORCED, TOO_MANY_LIMITS
   */
  async create(caller: KnownCaller, input: CreateLimitDto): Promise<LimitView> {
    const limit = await this.aliased(caller, (change) => this.insert(change, this.limitFrom(input)));
    return this.reader.viewOf(limit);
  }

  /** What `create` would come to. @throws DomainError as create */
  dryCreate(caller: KnownCaller, input: CreateLimitDto): Promise<LimitDryRunView> {
    const limit = this.limitFrom(input);
    return this.aliased(caller, async ({ tx }) => {
      await this.limits.in(tx).lockRules();
      await this.placement.requireEnforcement(tx);
      await this.placement.require(tx, limit);
      await this.requireFreeAlias(tx, limit);
      return this.placement.dryRun(limit, null);
    });
  }

  /** @throws DomainError 400; 404; 409 LIMIT_ALIAS_TAKEN, LIMIT_EXISTS, LIMIT_FIELD_FIXED; 412 VERSION_MISMATCH */
  async update(caller: KnownCaller, id: string, input: UpdateLimitDto): Promise<LimitView> {
    const limit = await this.aliased(caller, async (change) => {
      await this.limits.in(change.tx).lockRules();
      const before = await this.lock(change.tx, caller, id);
      return this.save(change, before, this.changed(before, input));
    });
    return this.reader.viewOf(limit);
  }

  /** What `update` would come to. @throws DomainError as update */
  dryUpdate(caller: KnownCaller, id: string, input: UpdateLimitDto): Promise<LimitDryRunView> {
    return this.aliased(caller, async ({ tx }) => {
      await this.limits.in(tx).lockRules();
      const before = await this.lock(tx, caller, id);
      const after = this.changed(before, input);
      await this.placement.require(tx, after);
      await this.requireFreeAlias(tx, after);
      return this.placement.dryRun(after, before);
    });
  }

  /**
   * Makes the limit of an alias, or changes it to what the request says. With `restart` one that cannot be changed to
   * that ends, and a new one takes its place.
   *
   * @throws DomainError as create and update
   */
  async put(caller: KnownCaller, alias: string, input: PutLimitDto, restarts: boolean): Promise<PutLimit> {
    const { limit, isNew } = await this.aliased(caller, async (change) => {
      const limits = this.limits.in(change.tx);
      await limits.lockRules();
      const after = this.limitFrom({ ...input, alias });
      const before = await limits.findByAliasForUpdate(alias);
      requireVersion(caller, 'limit', before?.id ?? null, before && auditedLimit(before));
      if (before === null) return { limit: await this.insert(change, after), isNew: true };
      const fixed = fixedFieldsChanged(before, after);
      if (fixed.length === 0) {
        const { id, countsFrom, createdAt } = before;
        return {
          limit: await this.save(change, before, this.with(after, { id, countsFrom, createdAt })),
          isNew: false,
        };
      }
      if (!restarts) throw limitIsFixed(fixed, RESTART);
      if (!caller.principal.may(DELETE)) throw permissionDenied(DELETE);
      await this.end(change, before, { replacedBy: after.id });
      return { limit: await this.insert(change, after), isNew: true };
    });
    return { limit: await this.reader.viewOf(limit), isNew };
  }

  /** Ends a limit. @throws DomainError 404; 412 VERSION_MISMATCH */
  async delete(caller: KnownCaller, id: string): Promise<void> {
    await this.changes.transaction(caller, async (change) => {
      await this.limits.in(change.tx).lockRules();
      await this.end(change, await this.lock(change.tx, caller, id));
    });
  }

  private async insert({ tx, record, write }: Change, limit: Limit): Promise<Limit> {
    await this.limits.in(tx).lockRules();
    await this.placement.requireEnforcement(tx);
    await this.placement.require(tx, limit);
    write(this.limits.in(tx).insert(limit));
    record({
      action: 'limits:create',
      resourceType: 'limit',
      resourceId: limit.id,
      changes: diff(null, auditedLimit(limit)),
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
    const ended = this.with(limit, { endedAt: this.clock.now() });
    write(this.limits.in(tx).end(ended));
    write(limitRowChanged(tx, limit, ended));
    record({
      action: 'limits:delete',
      resourceType: 'limit',
      resourceId: limit.id,
      changes: diff(auditedLimit(limit), null),
      ...(details === undefined ? {} : { details }),
    });
  }

  private async lock(tx: EntityManager, caller: KnownCaller, id: string): Promise<Limit> {
    const limit = await this.limits.in(tx).findForUpdate(id);
    if (limit === null) throw limitNotFound();
    requireVersion(caller, 'limit', id, auditedLimit(limit));
    return limit;
  }

  private limitFrom({ target, ...input }: CreateLimitDto): Limit {
    const now = this.clock.now();
    const { kind, id } = targetFrom(target);
    return this.with(new Limit(), {
      id: uuidv7(now.getTime()),
      name: input.name.trim(),
      alias: input.alias ?? null,
      description: input.description ?? '',
      unit: input.unit ?? 'cents',
      amount: microCentsFromCents(input.amountCents),
      per: input.per,
      timeZone: input.timeZone ?? 'UTC',
      targetKind: kind,
      targetId: id,
      each: input.each ?? null,
      models: input.models ?? [],
      mode: input.mode ?? 'enforce',
      countsFrom: now,
      endedAt: null,
      createdAt: now,
      updatedAt: now,
    });
  }

  /** A limit as a PATCH asks for. @throws DomainError 409 LIMIT_FIELD_FIXED */
  private changed(before: Limit, input: UpdateLimitDto): Limit {
    const target = input.target && targetFrom(input.target);
    const after = this.with(before, {
      name: input.name?.trim() ?? before.name,
      alias: input.alias === undefined ? before.alias : input.alias,
      description: input.description ?? before.description,
      amount: input.amountCents === undefined ? before.amount : microCentsFromCents(input.amountCents),
      per: input.per ?? before.per,
      timeZone: input.timeZone ?? before.timeZone,
      targetKind: target?.kind ?? before.targetKind,
      targetId: target === undefined ? before.targetId : target.id,
      each: input.each === undefined ? before.each : input.each,
      models: input.models ?? before.models,
      mode: input.mode ?? before.mode,
      updatedAt: this.clock.now(),
    });
    const fixed = fixedFieldsChanged(before, after);
    if (fixed.length > 0) throw limitIsFixed(fixed, CREATE_ANOTHER);
    return after;
  }

  private with(limit: Limit, fields: Partial<Limit>): Limit {
    return Object.assign(new Limit(), limit, fields);
  }

  private async requireFreeAlias(tx: EntityManager, { id, alias }: Limit): Promise<void> {
    const holder = alias === null ? null : await this.limits.in(tx).findByAliasForUpdate(alias);
    if (holder !== null && holder.id !== id) throw limitAliasTaken();
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
