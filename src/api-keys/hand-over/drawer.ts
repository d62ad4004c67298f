import type { UserGrants } from '../../access/grants.reader.js';
import { nobodyToDraw } from '../api-key.errors.js';

/** Refuses an owner for whom no person can sign in and draw the secret. @throws DomainError 409 NOBODY_TO_DRAW */
export function requireDrawer({ isActive, kind, managerIds }: UserGrants): void {
  if (!isActive || (kind === 'service' && managerIds.length === 0)) throw nobodyToDraw();
}
