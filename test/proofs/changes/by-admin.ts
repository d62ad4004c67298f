import type { ChangeKind, ChangeRequest, Step } from './kinds.js';

/** Who makes the changes, and a name that no other scenario has. */
export interface Cast {
  readonly name: string;
  readonly adminToken: string;
  readonly adminId: string;
  /** An owner that keys are given to. */
  readonly otherOwnerId: string;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- an answer of any route
export type Body = any;

/** A step by the admin. */
export function byAdmin(
  cast: Cast,
  kind: ChangeKind,
  request: () => Omit<ChangeRequest, 'token' | 'method'>,
  action: string,
  resource: string,
  idOf: (body: Body) => string,
): Step {
  const method = kind.split(' ')[0]!;
  return {
    kind,
    request: () => ({ method, token: cast.adminToken, ...request() }),
    expected: (body) => ({ action, resourceType: resource, resourceId: idOf(body), actorId: cast.adminId }),
  };
}
