import { DomainError } from '../common/domain-error.js';

/** 401. `presented`: credentials came and are bad, as opposed to none; `why` where a caller can mend it. */
export function unauthenticated(presented: boolean, why = 'The credentials are not valid (any more).'): DomainError {
  return new DomainError(
    'unauthenticated',
    'UNAUTHENTICATED',
    presented ? why : 'Sign in, or present a bearer token or an API key.',
    presented ? { presented: true } : {},
  );
}

/** 403 that names the missing permission. */
export function permissionDenied(permission: string): DomainError {
  return new DomainError('forbidden', 'PERMISSION_DENIED', `This needs the permission ${permission}.`, { permission });
}

/** 403: the change would let the caller act as an owner of keys. */
export function actsForKeyOwner(permission: string): DomainError {
  return new DomainError(
    'forbidden',
    'PERMISSION_DENIED',
    `This user owns API keys that are not revoked, manages a service account that does, or is an admin of a project with such keys. This also needs the permission ${permission}.`,
    { permission },
  );
}

/** 403: another person chose the password of this session. */
export function passwordChangeRequired(): DomainError {
  return new DomainError(
    'forbidden',
    'PASSWORD_CHANGE_REQUIRED',
    'Choose a password of your own first: in the console, or by PUT /api/v1/users/{your id}/password.',
  );
}

/** 403: `MFA_REQUIRED` asks this person for a second factor, and there is none yet. */
export function enrolmentRequired(): DomainError {
  return new DomainError(
    'forbidden',
    'MFA_ENROLMENT_REQUIRED',
    'Set up a second factor first: on your account page, or by POST /api/v1/auth/second-factor.',
  );
}

/** 403: the caller would hand out, or get at, more than the caller holds. */
export function cannotGrant(grants: readonly string[]): DomainError {
  return new DomainError('forbidden', 'CANNOT_GRANT', `You do not hold ${grants.join(', ')} yourself.`, { grants });
}

/** 403: a key that verifies keys of one environment would make or change one that verifies others. */
export function boundToEnvironment(environment: string): DomainError {
  return new DomainError(
    'forbidden',
    'CANNOT_GRANT',
    `You verify keys of the environment ${environment} alone: set verifiesEnvironment to ${environment}.`,
    { grants: [] },
  );
}

/** 403: the caller is bound by a key policy, and would leave it, or let another leave it. */
export function beyondKeyPolicy(): DomainError {
  return new DomainError(
    'forbidden',
    'OUTSIDE_POLICY',
    'The key policy of your roles binds you; this would reach beyond it.',
  );
}
