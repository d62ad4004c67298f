import { type Cast, byAdmin } from './by-admin.js';
import type { ChangeKind, Step } from './kinds.js';

/** Limits on a project in which the admin has a key. */
export function limits(cast: Cast): Step[] {
  const ids = { project: '', limit: '' };
  const on = (kind: ChangeKind, path: () => string, action: string, body?: unknown) =>
    byAdmin(
      cast,
      kind,
      () => ({ path: path(), ...(body === undefined ? {} : { body }) }),
      action,
      'limit',
      () => ids.limit,
    );
  const shape = (each: 'key' | 'owner') => ({
    name: `Limit of ${cast.name}`,
    amountCents: 1000,
    per: 'month',
    target: { kind: 'project', id: ids.project },
    each,
  });
  const member = () => `/limits/${ids.limit}/accounts/${cast.adminId}`;
  return [
    ...preparation(cast, (id) => (ids.project = id)),
    byAdmin(
      cast,
      'POST /limits',
      () => ({ path: '/limits', body: shape('owner') }),
      'limits:create',
      'limit',
      (body) => (ids.limit = body.id as string),
    ),
    on('PATCH /limits/:id', () => `/limits/${ids.limit}`, 'limits:update', { amountCents: 2000 }),
    on('PUT /limits/:id/accounts/:member', member, 'limits:update', { amountCents: 3000 }),
    on('DELETE /limits/:id/accounts/:member', member, 'limits:update'),
    byAdmin(
      cast,
      'PUT /limits/by-alias/:alias',
      () => ({ path: `/limits/by-alias/${cast.name}`, body: shape('key') }),
      'limits:create',
      'limit',
      (body) => body.id as string,
    ),
    on('DELETE /limits/:id', () => `/limits/${ids.limit}`, 'limits:delete'),
    erasure(cast),
  ];
}

/** An end user of keys is erased. */
function erasure(cast: Cast): Step {
  return byAdmin(
    cast,
    'POST /subjects/erase',
    () => ({ path: '/subjects/erase', body: { subject: `user-${cast.name}` } }),
    'subjects:erase',
    'subject',
    (body) => body.memberId as string,
  );
}

/** A project, and a key of the admin in it. */
function preparation(cast: Cast, onProject: (id: string) => void): Step[] {
  let project = '';
  return [
    byAdmin(
      cast,
      'POST /projects',
      () => ({ path: '/projects', body: { name: `Limited project of ${cast.name}` } }),
      'projects:create',
      'project',
      (body) => {
        project = body.id as string;
        onProject(project);
        return project;
      },
    ),
    byAdmin(
      cast,
      'POST /api-keys',
      () => ({ path: '/api-keys', body: { name: cast.name, projectId: project } }),
      'api-keys:create',
      'api-key',
      (body) => body.apiKey.id as string,
    ),
  ];
}
