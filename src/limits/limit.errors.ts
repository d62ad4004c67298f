import { DomainError, type FieldError, validationFailed } from '../common/domain-error.js';
import { SENTENCES } from '../../packages/contract/src/schema.js';

/** 404. */
export function limitNotFound(): DomainError {
  return new DomainError('missing', 'LIMIT_NOT_FOUND', 'There is no such limit.');
}

/** 404 for a key or owner that the limit does not bind and has no account for. Any subject may have one. */
export function limitMemberNotFound(): DomainError {
  return new DomainError(
    'missing',
    'LIMIT_MEMBER_NOT_FOUND',
    'The limit has no account for this member: name a key or owner that it binds.',
  );
}

/** 400 for a parameter of a path that is no UUID. */
export function invalidId(path: 'id' | 'member'): DomainError {
  return validationFailed([{ path, message: 'must be a UUID' }]);
}

/** 400 for fields that are wrong. */
export function invalidLimit(errors: readonly FieldError[]): DomainError {
  return validationFailed(errors);
}

/** What is wrong with a target that needs an id and has none. */
export const TARGET_ID_ABSENT: FieldError = { path: 'target.id', message: SENTENCES.absent };

/** 403: an admin of a project without `platform:limits:update` would do more than let its limit refuse more. */
export function adminMayOnlyTighten(paths: readonly string[]): DomainError {
  const permission = 'platform:limits:update';
  return new DomainError(
    'forbidden',
    'ADMIN_MAY_ONLY_TIGHTEN',
    `An admin of the project may lower the amount of its limit and enforce it; this needs ${permission}: ${paths.join(', ')}.`,
    {
      permission,
      errors: paths.map((path) => ({ path, message: `cannot be changed so without the permission ${permission}` })),
    },
  );
}

/** 409: another limit has this alias. */
export function limitAliasTaken(): DomainError {
  return new DomainError('conflict', 'LIMIT_ALIAS_TAKEN', 'Another limit has this alias.');
}

/** 409: the target has as many limits as it may have. */
export function tooManyLimits(most: number, limits: readonly string[]): DomainError {
  return new DomainError(
    'conflict',
    'TOO_MANY_LIMITS',
    `A target has at most ${most} limits: delete or change one of those that it has.`,
    { most, limits },
  );
}

/** 409: the target has as many limits as it may have of units that a call holds. */
export function tooManyHoldingLimits(most: number, limits: readonly string[]): DomainError {
  return new DomainError(
    'conflict',
    'TOO_MANY_LIMITS',
    `A target has at most ${most} limits of cents, tokens by the calendar or in total, and slots together: delete or change one of those that it has.`,
    { most, limits },
  );
}

/** 409: the target has as many limits of tokens by minute as it may have. */
export function tooManyTokenWindows(most: number, limits: readonly string[]): DomainError {
  return new DomainError(
    'conflict',
    'TOO_MANY_LIMITS',
    `A target has at most ${most} limits of tokens by minute: delete or change one of those that it has.`,
    { most, limits },
  );
}

/** 409: a limit says the same but for its amount. */
export function limitExists(id: string): DomainError {
  return new DomainError(
    'conflict',
    'LIMIT_EXISTS',
    'A limit with this target, each, unit, per, timeZone, models and mode exists: change its amount instead.',
    { limitId: id },
  );
}

/** 409: what makes the accounts of a limit cannot be changed. */
export function limitIsFixed(fields: readonly string[], hint: string): DomainError {
  return new DomainError(
    'conflict',
    'LIMIT_FIELD_FIXED',
    `${fields.join(', ')} cannot be changed, because the sum would start from 0: ${hint}`,
    { fields },
  );
}

/** 409: a replica that knows no limits would let calls pass that they refuse. */
export function limitsNotEnforced(): DomainError {
  return new DomainError(
    'conflict',
    'LIMITS_NOT_ENFORCED',
    'A replica of an older release has been running within the last minute, and does not enforce limits: upgrade it, or stop it, and wait a minute.',
  );
}

/** 409: the limit has one account, which all calls share. */
export function limitIsShared(): DomainError {
  return new DomainError(
    'conflict',
    'LIMIT_IS_SHARED',
    'All calls of this limit share one account: change the amount of the limit, or make a limit with `each`.',
  );
}
