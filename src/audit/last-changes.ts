import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { VersionMismatch } from '../common/version.js';

/** Tells who has changed a thing last. */
@Injectable()
export class LastChanges {
  constructor(private readonly manager: EntityManager) {}

  /** The same refusal, naming who has changed the thing; as it is where the trail does not tell. */
  async named(error: VersionMismatch): Promise<VersionMismatch> {
    const { resourceType, resourceId, extras } = error;
    const { version } = extras as { readonly version: string | null };
    if (resourceId === null || version === null) return error;
    const [last] = await this.manager.query<{ by: string | null; at: Date }[]>(
      `SELECT e.at, CASE e.actor_kind WHEN 'user' THEN (SELECT name FROM users WHERE id = e.actor_owner_id)
                                      WHEN 'key' THEN (SELECT 'the key ' || name FROM api_key WHERE id = e.actor_id::uuid) END AS by
         FROM audit_event e
        WHERE resource_type = $1 AND resource_id = $2 AND outcome = 'success' AND changes <> '[]' AND seq > 0
          AND seq <= (SELECT seq FROM change_head) ORDER BY seq DESC LIMIT 1`,
      [resourceType, resourceId],
    );
    if (last === undefined) return error;
    return new VersionMismatch(resourceType, resourceId, version, { by: last.by, at: last.at.toISOString() });
  }
}
