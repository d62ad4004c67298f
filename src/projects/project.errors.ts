import { DomainError, validationFailed } from '../common/domain-error.js';
import { MAX_PROJECT_MEMBERS } from './project-role.js';

/** 404. */
export function projectNotFound(): DomainError {
  return new DomainError('missing', 'PROJECT_NOT_FOUND', 'There is no such project.');
}

/** 404: the user is no member of the project. */
export function projectMemberNotFound(): DomainError {
  return new DomainError('missing', 'PROJECT_MEMBER_NOT_FOUND', 'This user is not a member of the project.');
}

/** 400 for a path whose id is no UUID. */
export function invalidProjectId(path = 'id'): DomainError {
  return validationFailed([{ path, message: 'must be a UUID' }]);
}

/** 400 for a key that is to get a project which does not exist. */
export function unknownProject(path = 'projectId'): DomainError {
  return validationFailed([{ path, message: 'there is no such project' }]);
}

/** 400 for a member who cannot sign in. */
export function noPerson(): DomainError {
  return validationFailed([{ path: 'userId', message: 'must be an active person' }]);
}

/** 409: another project has this name. */
export function projectNameTaken(): DomainError {
  return new DomainError('conflict', 'PROJECT_NAME_TAKEN', 'There is a project of this name.');
}

/** 409: another project has this alias. */
export function projectAliasTaken(): DomainError {
  return new DomainError('conflict', 'PROJECT_ALIAS_TAKEN', 'There is a project of this alias.');
}

/** 409: the project has as many members as it can. */
export function projectFull(): DomainError {
  return new DomainError(
    'conflict',
    'PROJECT_FULL',
    `A project has at most ${MAX_PROJECT_MEMBERS} members: remove one first.`,
    { members: MAX_PROJECT_MEMBERS },
  );
}

/** 409: keys that are not revoked are in it. */
export function projectInUse(keys: number): DomainError {
  return new DomainError(
    'conflict',
    'PROJECT_IN_USE',
    `${keys} keys that are not revoked are in this project: delete it with keys=revoke, or with transferTo=<another project>.`,
    { keys },
  );
}
