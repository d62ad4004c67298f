import { systemCaller } from '../../src/access/caller.js';
import { Changes } from '../../src/audit/changes.js';
import type { TestApp } from './app.js';

/** A key that verifies, and the service key with which a platform's service asks. */
export interface IssuedKey {
  readonly id: string;
  readonly secret: string;
}

/** A key of the admin's, or with `ownerId` another user's. */
export async function issueKey(app: TestApp, token: string, body: Record<string, unknown> = {}): Promise<IssuedKey> {
  const answer = await app.post('/api-keys', { token, body });
  if (answer.status !== 201) throw new Error(`create answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return { id: answer.body.apiKey.id as string, secret: answer.body.secretKey as string };
}

/** A key that may call `POST /verify`, as services do. */
export function issueServiceKey(app: TestApp, token: string): Promise<IssuedKey> {
  return issueKey(app, token, { name: 'A service', roles: ['gateway'] });
}

/**
 * Changes as the management plane makes them: through the one door, with their row of the trail, whatever route would
 * do it. Each gives the change's number.
 */
export class Management {
  private readonly changes: Changes;

  constructor(app: TestApp) {
    this.changes = app.app.get(Changes, { strict: false });
  }

  revoke(keyId: string): Promise<string> {
    return this.change(
      'api-keys:revoke',
      'api-key',
      keyId,
      'UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = $1',
    );
  }

  deactivate(keyId: string): Promise<string> {
    return this.change(
      'api-keys:deactivate',
      'api-key',
      keyId,
      'UPDATE api_key SET is_active = false, deactivated_at = clock_timestamp() WHERE id = $1',
    );
  }

  narrow(keyId: string): Promise<string> {
    return this.change('api-keys:update', 'api-key', keyId, `UPDATE api_key SET scopes = '{}' WHERE id = $1`);
  }

  expire(keyId: string): Promise<string> {
    return this.change(
      'api-keys:update',
      'api-key',
      keyId,
      'UPDATE api_key SET expires_at = clock_timestamp() WHERE id = $1',
    );
  }

  disableOwner(userId: string): Promise<string> {
    return this.change('users:update', 'user', userId, 'UPDATE users SET is_active = false WHERE id = $1');
  }

  disableProject(id: string): Promise<string> {
    return this.change('projects:update', 'project', id, 'UPDATE project SET is_active = false WHERE id = $1');
  }

  emptyRole(name: string): Promise<string> {
    return this.change('roles:update', 'role', name, `UPDATE role SET permissions = '{}' WHERE name = $1`);
  }

  /** A row of the trail that changes nothing. */
  async noteRead(): Promise<string> {
    return this.change('api-keys:read', 'api-key', null, null);
  }

  private async change(
    action: string,
    resourceType: string,
    resourceId: string | null,
    sql: string | null,
  ): Promise<string> {
    const { seq } = await this.changes.commit(systemCaller(action), async ({ tx, record }) => {
      if (sql !== null) await tx.query(sql, [resourceId]);
      record({
        resourceType,
        resourceId,
        changes: sql === null ? [] : [{ field: 'state', before: 'before', after: 'after' }],
      });
    });
    return seq!;
  }
}
