import { createHash, randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';
import { type Body, type Cast, byAdmin } from './by-admin.js';
import type { ChangeKind, ChangeRequest, Expected, Step } from './kinds.js';
import { limits } from './limit-scenario.js';

export type { Cast } from './by-admin.js';

const FIRST_PASSWORD = 'nine small boats at sea';
const OWN_PASSWORD = 'seven slow barges at dusk';

/** Changes in an order that makes each of them possible. Together they are all kinds. */
export const SCENARIOS: readonly ((cast: Cast) => readonly Step[])[] = [
  lifeOfAKey,
  otherWaysToKeys,
  handedOverKey,
  roles,
  projects,
  limits,
  lifeOfAPerson,
  secondFactor,
];

/** Of routes that answer 200 and say of each key what became of it. */
interface Batch {
  readonly results: readonly { readonly outcome: string }[];
}

function kidOf(secret: string): string {
  return secret.slice(-63, -49);
}

function lifeOfAKey(cast: Cast): Step[] {
  const key = { id: '', secret: '' };
  const on = (kind: ChangeKind, path: string, action: string, body?: unknown) =>
    byAdmin(
      cast,
      kind,
      () => ({ path: `/api-keys/${key.id}${path}`, body }),
      action,
      'api-key',
      () => key.id,
    );
  return [
    byAdmin(
      cast,
      'POST /api-keys',
      () => ({ path: '/api-keys', body: { name: cast.name, budgetLimitCents: 100 } }),
      'api-keys:create',
      'api-key',
      (body) => {
        Object.assign(key, { id: body.apiKey.id as string, secret: body.secretKey as string });
        return key.id;
      },
    ),
    on('PATCH /api-keys/:id', '', 'api-keys:update', { name: `${cast.name} renamed` }),
    on('PUT /api-keys/:id', '', 'api-keys:update', { rateLimitPerMinute: 60 }),
    on('POST /api-keys/:id/deactivate', '/deactivate', 'api-keys:deactivate'),
    on('POST /api-keys/:id/activate', '/activate', 'api-keys:activate'),
    on('POST /api-keys/:id/renew', '/renew', 'api-keys:renew', {}),
    on('POST /api-keys/:id/regenerate', '/regenerate', 'api-keys:regenerate', { overlapSeconds: 600 }),
    byAdmin(
      cast,
      'DELETE /api-keys/:id/secrets/:kid',
      () => ({ path: `/api-keys/${key.id}/secrets/${kidOf(key.secret)}` }),
      'api-key-secrets:delete',
      'api-key',
      () => key.id,
    ),
    on('POST /api-keys/:id/transfer', '/transfer', 'api-keys:transfer', { ownerId: cast.otherOwnerId }),
    on('POST /api-keys/:id/revoke', '/revoke', 'api-keys:revoke', { reason: 'G14' }),
    on('DELETE /api-keys/:id/permanent', '/permanent', 'api-keys:delete'),
  ];
}

function otherWaysToKeys(cast: Cast): Step[] {
  const aliased = { id: '' };
  const imported = { id: '', secret: `sk-${randomBytes(24).toString('base64url')}` };
  const put = (action: string) =>
    byAdmin(
      cast,
      'PUT /api-keys/by-alias/:alias',
      () => ({ path: `/api-keys/by-alias/${cast.name}`, body: { name: cast.name } }),
      action,
      'api-key',
      (body) => (aliased.id = body.apiKey.id as string),
    );
  const keys = [
    { sha256: createHash('sha256').update(imported.secret).digest('hex'), prefix: imported.secret.slice(0, 8) },
  ];
  return [
    put('api-keys:create'),
    put('api-keys:renew'),
    byAdmin(
      cast,
      'DELETE /api-keys/:id',
      () => ({ path: `/api-keys/${aliased.id}` }),
      'api-keys:revoke',
      'api-key',
      () => aliased.id,
    ),
    {
      ...byAdmin(
        cast,
        'POST /api-keys/import',
        () => ({ path: '/api-keys/import', body: { keys } }),
        'api-keys:import',
        'api-key',
        (body) => (imported.id = body.results[0].id as string),
      ),
      wasDone: (body) => (body as Batch).results[0]?.outcome === 'created',
    },
    {
      ...byAdmin(
        cast,
        'POST /api-keys/bulk',
        () => ({ path: '/api-keys/bulk', body: { ids: [imported.id], action: 'deactivate' } }),
        'api-keys:deactivate',
        'api-key',
        () => imported.id,
      ),
      wasDone: (body) => (body as Batch).results[0]?.outcome === 'done',
    },
    {
      kind: 'POST /api-keys/self-revoke',
      request: () => ({ method: 'POST', path: '/api-keys/self-revoke', body: { key: imported.secret } }),
      expected: () => ({ action: 'api-keys:revoke', resourceType: 'api-key', resourceId: imported.id, actorId: null }),
    },
  ];
}

function roles(cast: Cast): Step[] {
  const name = cast.name.toLowerCase();
  return [
    byAdmin(
      cast,
      'POST /roles',
      () => ({ path: '/roles', body: { name, permissions: ['platform:api-keys:verify'] } }),
      'roles:create',
      'role',
      () => name,
    ),
    byAdmin(
      cast,
      'PATCH /roles/:name',
      () => ({ path: `/roles/${name}`, body: { permissions: [] } }),
      'roles:update',
      'role',
      () => name,
    ),
    byAdmin(
      cast,
      'DELETE /roles/:name',
      () => ({ path: `/roles/${name}` }),
      'roles:delete',
      'role',
      () => name,
    ),
  ];
}

function projects(cast: Cast): Step[] {
  let id = '';
  const on = (kind: ChangeKind, action: string, body?: unknown, path = '') =>
    byAdmin(
      cast,
      kind,
      () => ({ path: `/projects/${id}${path}`, ...(body === undefined ? {} : { body }) }),
      action,
      'project',
      () => id,
    );
  return [
    byAdmin(
      cast,
      'POST /projects',
      () => ({ path: '/projects', body: { name: `Project of ${cast.name}` } }),
      'projects:create',
      'project',
      (body) => (id = body.id as string),
    ),
    on('PATCH /projects/:id', 'projects:update', { description: 'Described' }),
    on('PATCH /projects/:id', 'projects:update', { isActive: false }),
    on('PUT /projects/:id/members/:userId', 'projects:update', { role: 'member' }, `/members/${cast.adminId}`),
    on('PUT /projects/:id/members/:userId', 'projects:update', { role: 'admin' }, `/members/${cast.adminId}`),
    on('DELETE /projects/:id/members/:userId', 'projects:update', undefined, `/members/${cast.adminId}`),
    on('DELETE /projects/:id', 'projects:delete'),
    byAdmin(
      cast,
      'PUT /projects/by-alias/:alias',
      () => ({ path: `/projects/by-alias/of-${cast.name}`, body: { name: `Alias of ${cast.name}` } }),
      'projects:create',
      'project',
      (body) => body.id as string,
    ),
    byAdmin(
      cast,
      'PUT /projects/by-alias/:alias',
      () => ({ path: `/projects/by-alias/of-${cast.name}`, body: { name: `Other alias of ${cast.name}` } }),
      'projects:update',
      'project',
      (body) => body.id as string,
    ),
  ];
}

/** A person whom the admin adds, and who signs in. */
class Person {
  readonly email: string;
  id = '';
  /** Of sessions, in their order. */
  readonly tokens: string[] = [];
  totpSecret = '';

  constructor(private readonly cast: Cast) {
    this.email = `${cast.name}@latchkey.test`.toLowerCase();
  }

  /** Until the person has a session that may do everything. */
  arrival(): Step[] {
    const body = { name: this.cast.name, email: this.email, password: FIRST_PASSWORD };
    return [
      byAdmin(
        this.cast,
        'POST /users',
        () => ({ path: '/users', body }),
        'users:create',
        'user',
        (answer) => (this.id = answer.id as string),
      ),
      this.signIn(FIRST_PASSWORD),
      this.step(
        'PUT /users/:id/password',
        () => ({
          path: `/users/${this.id}/password`,
          body: { password: OWN_PASSWORD, currentPassword: FIRST_PASSWORD },
        }),
        'users:update',
      ),
    ];
  }

  signIn(password = OWN_PASSWORD): Step {
    return {
      kind: 'POST /auth/login',
      request: () => ({ method: 'POST', path: '/auth/login', body: { email: this.email, password } }),
      expected: (body: Body) => {
        this.tokens.push(body.accessToken as string);
        return this.expected('auth:login', null);
      },
    };
  }

  /** By the person, in the session `session`. */
  step(
    kind: ChangeKind,
    request: () => Omit<ChangeRequest, 'token' | 'method'>,
    action: string,
    session = 0,
    after: (body: Body) => void = () => undefined,
  ): Step {
    return {
      kind,
      request: () => ({ method: kind.split(' ')[0]!, token: this.tokens[session]!, ...request() }),
      expected: (body) => {
        after(body);
        return this.expected(action, this.id);
      },
    };
  }

  /** By the person in the first session, on a key. */
  ofKey(kind: ChangeKind, request: () => Omit<ChangeRequest, 'token' | 'method'>, action: string): Step {
    return {
      ...this.step(kind, request, action),
      expected: (body) => ({
        action,
        resourceType: 'api-key',
        resourceId: body.apiKey.id as string,
        actorId: this.id,
      }),
    };
  }

  byAdmin(kind: ChangeKind, path: string, action: string, body?: unknown): Step {
    return byAdmin(
      this.cast,
      kind,
      () => ({ path: `/users/${this.id}${path}`, body }),
      action,
      'user',
      () => this.id,
    );
  }

  sessionId(session: number): string {
    return (JSON.parse(Buffer.from(this.tokens[session]!.split('.')[1]!, 'base64url').toString()) as { sid: string })
      .sid;
  }

  private expected(action: string, actorId: string | null): Expected {
    return { action, resourceType: 'user', resourceId: this.id, actorId };
  }
}

function lifeOfAPerson(cast: Cast): Step[] {
  const person = new Person(cast);
  return [
    ...person.arrival(),
    person.byAdmin('PATCH /users/:id', '', 'users:update', { name: `${cast.name} renamed` }),
    person.byAdmin('PUT /users/:id/roles', '/roles', 'users:update', { roles: ['user'] }),
    person.step(
      'POST /auth/notices/acknowledge',
      () => ({ path: '/auth/notices/acknowledge', body: { marker: '1.0' } }),
      'auth:acknowledge',
    ),
    person.signIn(),
    person.step(
      'DELETE /users/:id/sessions/:sessionId',
      () => ({ path: `/users/${person.id}/sessions/${person.sessionId(1)}` }),
      'sessions:revoke',
    ),
    person.step('POST /auth/logout', () => ({ path: '/auth/logout' }), 'auth:logout'),
    person.signIn(),
    person.step('DELETE /users/:id/sessions', () => ({ path: `/users/${person.id}/sessions` }), 'sessions:revoke', 2),
    person.byAdmin('DELETE /users/:id', '', 'users:delete'),
    person.byAdmin('POST /users/:id/erase', '/erase', 'users:erase', { confirm: person.email }),
  ];
}

function handedOverKey(cast: Cast): Step[] {
  const person = new Person(cast);
  const key = { id: '' };
  const on = (kind: ChangeKind, action: string, body?: unknown) =>
    byAdmin(
      cast,
      kind,
      () => ({ path: `/api-keys/${key.id}/hand-over`, body }),
      action,
      'api-key',
      () => key.id,
    );
  return [
    ...person.arrival(),
    byAdmin(
      cast,
      'POST /api-keys',
      () => ({ path: '/api-keys', body: { name: cast.name, ownerId: person.id, handOver: true } }),
      'api-keys:create',
      'api-key',
      (body) => (key.id = body.apiKey.id as string),
    ),
    on('DELETE /api-keys/:id/hand-over', 'hand-overs:end'),
    on('POST /api-keys/:id/hand-over', 'hand-overs:create', { overlapSeconds: 60 }),
    person.ofKey('POST /api-keys/:id/draw', () => ({ path: `/api-keys/${key.id}/draw` }), 'api-key-secrets:draw'),
  ];
}

function secondFactor(cast: Cast): Step[] {
  const person = new Person(cast);
  const path = '/auth/second-factor';
  const body = { password: OWN_PASSWORD };
  const begin = () =>
    person.step(
      'POST /auth/second-factor',
      () => ({ path, body }),
      'second-factors:create',
      0,
      (answer) => (person.totpSecret = answer.secret as string),
    );
  const confirm = () =>
    person.step(
      'POST /auth/second-factor/confirm',
      () => ({ path: `${path}/confirm`, body: { code: codeOf(person.totpSecret) } }),
      'second-factors:activate',
    );
  return [
    ...person.arrival(),
    begin(),
    confirm(),
    person.step(
      'POST /auth/second-factor/recovery-codes',
      () => ({ path: `${path}/recovery-codes`, body }),
      'second-factors:regenerate',
    ),
    person.step('POST /auth/second-factor/remove', () => ({ path: `${path}/remove`, body }), 'second-factors:delete'),
    begin(),
    confirm(),
    person.byAdmin('DELETE /users/:id/second-factor', '/second-factor', 'second-factors:delete'),
  ];
}

function codeOf(secret: string): string {
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate();
}
