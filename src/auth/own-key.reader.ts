import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { OwnKeyView } from './auth.view.js';

/** What a key may know of itself: nothing of its owner but the id, which every verdict has. */
@Injectable()
export class OwnKeyReader {
  constructor(private readonly entities: EntityManager) {}

  /** null for a key that is gone. */
  async find(keyId: string): Promise<OwnKeyView | null> {
    const [key] = await this.entities.query<OwnKeyView[]>(
      `SELECT id, name, environment, owner_id AS "ownerId", scopes, tags, expires_at AS "expiresAt"
         FROM api_key WHERE id = $1`,
      [keyId],
    );
    return key ?? null;
  }
}
