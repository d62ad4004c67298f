import { DomainError, validationFailed } from '../../common/domain-error.js';
import { STEP_SECONDS } from './totp.js';

/** 401: the password was right, and a code is needed besides. */
export function mfaRequired(): DomainError {
  return new DomainError(
    'unauthenticated',
    'MFA_REQUIRED',
    'Send a code of your authenticator app, or a recovery code, as code.',
    { presented: true },
  );
}

/** 401: the password was right, the code is not, or was used before. */
export function codeRefused(): DomainError {
  return new DomainError(
    'unauthenticated',
    'MFA_CODE_REFUSED',
    'The code is wrong or was used before. Wait for the next code of your app.',
    {
      presented: true,
    },
  );
}

/** 429: the tries of this step are used up. */
export function tooManyCodes(): DomainError {
  return new DomainError(
    'throttled',
    'TOO_MANY_REQUESTS',
    'Too many wrong codes. Wait for the next code of your app.',
    {
      retryAfterSeconds: STEP_SECONDS,
    },
  );
}

/** 400: the code that should confirm an enrolment. */
export function wrongConfirmation(): DomainError {
  return validationFailed([
    {
      path: 'code',
      message: 'is not a current code of this secret: check the time of your phone and send the next code',
    },
  ]);
}

/** 403: an API key or a token of the identity provider cannot change how its owner signs in. */
export function sessionRequired(): DomainError {
  return new DomainError('forbidden', 'SESSION_REQUIRED', 'This needs a session: sign in with your password.');
}

/** 404: nothing is set up, or nothing waits for its confirmation. */
export function secondFactorNotFound(): DomainError {
  return new DomainError(
    'missing',
    'SECOND_FACTOR_NOT_FOUND',
    'There is no second factor to do this with. Set one up first: POST /api/v1/auth/second-factor.',
  );
}

/** 409: there is one, which works. */
export function secondFactorExists(): DomainError {
  return new DomainError(
    'conflict',
    'SECOND_FACTOR_EXISTS',
    'A second factor is set up. Remove it before you set up another one.',
  );
}
