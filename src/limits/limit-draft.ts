import { uuidv7 } from '../common/uuid.js';
import { amountFrom, amountIfGiven } from './limit-amount.js';
import type { CreateLimitDto, UpdateLimitDto } from './limit.dto.js';
import { limitIsFixed } from './limit.errors.js';
import { Limit } from './limit.entity.js';
import { fixedFieldsChanged } from './limit-rules.js';
import { targetFrom } from './limit-targets.js';

const CREATE_ANOTHER = 'make another limit, and delete this one.';

/** A new limit as a request asks for, which counts from `now`. @throws DomainError 400 for an amount of another unit */
export function newLimit({ target, ...input }: CreateLimitDto, now: Date): Limit {
  const { kind, id } = targetFrom(target);
  const unit = input.unit ?? 'cents';
  return limitWith(new Limit(), {
    id: uuidv7(now.getTime()),
    name: input.name.trim(),
    alias: input.alias ?? null,
    description: input.description ?? '',
    unit,
    amount: amountFrom(unit, input, input.per ?? null),
    per: input.per ?? null,
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

/** A limit as a PATCH asks for. @throws DomainError 400 for an amount of another unit; 409 LIMIT_FIELD_FIXED */
export function changedLimit(before: Limit, input: UpdateLimitDto, now: Date): Limit {
  const target = input.target && targetFrom(input.target);
  const after = limitWith(before, {
    name: input.name?.trim() ?? before.name,
    alias: input.alias === undefined ? before.alias : input.alias,
    description: input.description ?? before.description,
    unit: input.unit ?? before.unit,
    per: input.per === undefined ? before.per : input.per,
    timeZone: input.timeZone ?? before.timeZone,
    targetKind: target?.kind ?? before.targetKind,
    targetId: target === undefined ? before.targetId : target.id,
    each: input.each === undefined ? before.each : input.each,
    models: input.models ?? before.models,
    mode: input.mode ?? before.mode,
    updatedAt: now,
  });
  const fixed = fixedFieldsChanged(before, after);
  if (fixed.length > 0) throw limitIsFixed(fixed, CREATE_ANOTHER);
  return limitWith(after, { amount: amountIfGiven(before.unit, input, before.per) ?? before.amount });
}

/** A limit with some of its fields replaced. */
export function limitWith(limit: Limit, fields: Partial<Limit>): Limit {
  return Object.assign(new Limit(), limit, fields);
}
