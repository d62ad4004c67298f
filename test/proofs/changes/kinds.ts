/**
 * Every route that changes the management plane, as `RouteAccess` knows it. test/contract/experiments.spec.ts holds
 * this list equal to the audited routes of the product, so that a new route cannot be forgotten by G14.
 */
export const CHANGE_KINDS = [
  'POST /api-keys',
  'PATCH /api-keys/:id',
  'PUT /api-keys/:id',
  'DELETE /api-keys/:id',
  'DELETE /api-keys/:id/permanent',
  'POST /api-keys/:id/activate',
  'POST /api-keys/:id/deactivate',
  'POST /api-keys/:id/regenerate',
  'POST /api-keys/:id/hand-over',
  'DELETE /api-keys/:id/hand-over',
  'POST /api-keys/:id/draw',
  'POST /api-keys/:id/renew',
  'POST /api-keys/:id/revoke',
  'POST /api-keys/:id/transfer',
  'DELETE /api-keys/:id/secrets/:kid',
  'PUT /api-keys/by-alias/:alias',
  'POST /api-keys/bulk',
  'POST /api-keys/import',
  'POST /api-keys/self-revoke',
  'POST /auth/login',
  'POST /auth/logout',
  'POST /auth/notices/acknowledge',
  'POST /auth/second-factor',
  'POST /auth/second-factor/confirm',
  'POST /auth/second-factor/recovery-codes',
  'POST /auth/second-factor/remove',
  'POST /limits',
  'PATCH /limits/:id',
  'DELETE /limits/:id',
  'PUT /limits/by-alias/:alias',
  'PUT /limits/:id/accounts/:member',
  'DELETE /limits/:id/accounts/:member',
  'POST /projects',
  'PATCH /projects/:id',
  'DELETE /projects/:id',
  'PUT /projects/:id/members/:userId',
  'DELETE /projects/:id/members/:userId',
  'PUT /projects/by-alias/:alias',
  'POST /roles',
  'PATCH /roles/:name',
  'DELETE /roles/:name',
  'POST /subjects/erase',
  'POST /users',
  'PATCH /users/:id',
  'DELETE /users/:id',
  'POST /users/:id/erase',
  'PUT /users/:id/password',
  'PUT /users/:id/roles',
  'DELETE /users/:id/second-factor',
  'DELETE /users/:id/sessions',
  'DELETE /users/:id/sessions/:sessionId',
] as const;

export type ChangeKind = (typeof CHANGE_KINDS)[number];

/** What the trail must say of a change: exactly one entry, with these. */
export interface Expected {
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string;
  /** null: a caller without credentials. */
  readonly actorId: string | null;
}

/** A change that was acknowledged. */
export interface Acknowledged extends Expected {
  readonly kind: ChangeKind;
  /** `X-Request-Id` of the answer. */
  readonly requestId: string;
}

/** One change of a scenario. What it needs of earlier answers is there when `request` is called. */
export interface Step {
  readonly kind: ChangeKind;
  readonly request: () => ChangeRequest;
  /** From the answer, which was a success. It also keeps what later steps need. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the scenario says what it expects
  readonly expected: (body: any) => Expected;
  /** Whether a 200 means that it was done; absent: always. */
  readonly wasDone?: (body: unknown) => boolean;
}

export interface ChangeRequest {
  readonly method: string;
  /** Below /api/v1. */
  readonly path: string;
  readonly token?: string;
  readonly body?: unknown;
}
