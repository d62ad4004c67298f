import { DomainError, validationFailed } from '../common/domain-error.js';

/** 404. */
export function projectNotFound(): DomainError {
  return new DomainError('missing', 'PROJECT_NOT_FOUND', 'There is no such project.');
}

/** 400 for a path whose id is no UUID. */
export function invalidProjectId(): DomainError {
  return validationFailed([{ path: 'id', message: 'must be a UUID' }]);
}

/** 400 for a key that is to get a project which does not exist. */
export function unknownProject(): DomainError {
  return validationFailed([{ path: 'projectId', message: 'there is no such project' }]);
}

/** 409: another project has this name. */
export function projectNameTaken(): DomainError {
  return new DomainError('conflict', 'PROJECT_NAME_TAKEN', 'There is a project of this name.');
}

/** 409: keys that are not revoked are in it. */
export function projectInUse(keys: number): DomainError {
  return new DomainError(
    'conflict',
    'PROJECT_IN_USE',
    `${keys} keys that are not revoked are in this project: transfer them to another project, or revoke them.`,
    { keys },
  );
}
