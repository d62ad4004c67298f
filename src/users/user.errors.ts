import { DomainError, validationFailed } from '../common/domain-error.js';

/** 404. */
export function userNotFound(): DomainError {
  return new DomainError('missing', 'USER_NOT_FOUND', 'There is no such user.');
}

/** 404: it has ended, or is another user's. */
export function sessionNotFound(): DomainError {
  return new DomainError('missing', 'SESSION_NOT_FOUND', 'This user has no such session. It may have ended.');
}

/** 409: another local account that is not deleted has this address, in upper or lower case. */
export function emailTaken(): DomainError {
  return new DomainError('conflict', 'EMAIL_TAKEN', 'Another user has this e-mail address.');
}

/** 409: nobody would be left who can sign in and do everything. */
export function lastAdmin(): DomainError {
  return new DomainError('conflict', 'LAST_ADMIN', 'This is the last active admin. Make another user an admin first.');
}

/** 409: what becomes of the user's keys has to be said. */
export function ownerHasKeys(keys: number): DomainError {
  const detail = `The user owns ${keys} keys that are not revoked. Say ?keys=revoke or ?transferTo=<user id>.`;
  return new DomainError('conflict', 'OWNER_HAS_KEYS', detail, { keys });
}

/** 409: a service account is nobody's personal data. */
export function notAPerson(): DomainError {
  return new DomainError(
    'conflict',
    'NOT_A_PERSON',
    'This is a service account. Delete it, and rename it before if its name says who a person is.',
  );
}

/** 409: nobody would be left who may go on behind the deletion. */
export function erasureOfSelf(): DomainError {
  return new DomainError('conflict', 'ERASURE_OF_SELF', 'You cannot erase yourself. Another administrator can.');
}

/** 503: what an erasure writes into the trail now would name the person. */
export function erasureBesideOlderReplicas(): DomainError {
  return new DomainError(
    'unavailable',
    'UNAVAILABLE',
    'A replica of an earlier release ran within the last minute: the audit trail still names persons. Repeat the erasure when all replicas run this release.',
    { retryAfterSeconds: 60 },
  );
}

/** 409: service accounts never sign in, and users of the identity provider sign in there. */
export function hasNoPassword(): DomainError {
  return new DomainError(
    'conflict',
    'HAS_NO_PASSWORD',
    'This account has no password here: it is a service account, or its identity provider signs it in.',
  );
}

/** 403: an API key has no account of its own, and nobody reads what it is told. */
export function onlyForPeople(): DomainError {
  return new DomainError(
    'forbidden',
    'ONLY_FOR_PEOPLE',
    'This is about the account of a signed-in person. Sign in instead of using an API key.',
  );
}

/** 403: the old password is not the old password. */
export function wrongPassword(): DomainError {
  return new DomainError('forbidden', 'WRONG_PASSWORD', 'The current password is wrong.');
}

/** 400: a password that does not fit its account, and why. */
export function unfitPassword(problem: string): DomainError {
  return validationFailed([{ path: 'password', message: problem }]);
}

/** 400: roles that do not exist. */
export function unknownRoles(names: readonly string[]): DomainError {
  return validationFailed(names.map((name) => ({ path: 'roles', message: `there is no role ${name}` })));
}
