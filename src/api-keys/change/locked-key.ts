import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../../access/caller.js';
import type { UserGrants } from '../../access/grants.reader.js';
import { owns } from '../../access/access-basis.js';
import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { ApiKey } from '../api-key.entity.js';
import { alreadyRevoked } from '../api-key.errors.js';
import { ApiKeyView } from '../api-key.view.js';
import type { ApiKeysRepository } from '../api-keys.repository.js';
import { auditedKey } from './audited-key.js';
import type { Parties } from '../create/key-creation-rules.js';
import { endLimitsOf } from '../../quotas/limits/limit-endings.js';
import { NO_HAND_OVER } from '../hand-over/hand-over.js';
import type { KeyStanding } from '../key-standing.js';
import type { KeyState } from '../settings/settings.js';

/** What the trail says about a change beside the fields that differ. */
export interface ChangeNote {
  /** When it is not what the route is called. */
  readonly action?: string;
  /** Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * One key in the hands of one change: its row, its owner and the caller are locked, and `standing` was decided on
 * them. Whatever a change does to a key goes through here, so that nothing is stored that the trail does not say.
 */
export class LockedKey {
  private stored: ApiKey;

  constructor(
    /** As it was when it was locked. */
    readonly key: ApiKey,
    readonly parties: Parties & { readonly owner: UserGrants },
    readonly standing: KeyStanding,
    /** The instant of the change. */
    readonly now: Date,
    private readonly change: Change,
    private readonly keys: ApiKeysRepository,
  ) {
    this.stored = key;
  }

  get tx(): EntityManager {
    return this.change.tx;
  }

  /** Takes a write to what hangs on the key, as {@link Change.write} does. */
  write(statement: Promise<unknown>): void {
    this.change.write(statement);
  }

  get caller(): KnownCaller {
    return this.parties.caller;
  }

  /** Whether the caller is its owner, or manages its owner; such a caller may hold the permission as well. */
  get isOwn(): boolean {
    return owns(this.caller.principal, { ownerId: this.key.ownerId, managerIds: this.parties.owner.managerIds });
  }

  /** @throws DomainError 409 ALREADY_REVOKED with `revokedAt` */
  requireNotRevoked(): void {
    if (this.key.revokedAt !== null) throw alreadyRevoked(this.key.revokedAt);
  }

  /**
   * Stores `after` and records every field that differs. Where none does nothing is stored or recorded, and
   * `updatedAt` stays. A key that is revoked or changes its owner loses the offer of its next secret. The change
   * fails with 23505 on `api_key_alias_key` when the alias is taken.
   */
  save(asked: KeyState, note: ChangeNote = {}): void {
    const isOver = asked.revokedAt !== null || asked.ownerId !== this.key.ownerId;
    const after = isOver ? { ...asked, ...NO_HAND_OVER } : asked;
    const changes = diff(auditedKey(this.key), auditedKey(after));
    if (changes.length === 0) return;
    this.store(after);
    this.change.record({ ...note, resourceType: 'api-key', resourceId: this.key.id, changes });
  }

  /** Records a change of the key's secrets, which are no fields of it; `after`: what of the key changes with them. */
  saveSecrets(note: ChangeNote, after: KeyState = this.key): void {
    this.store(after);
    const changes = diff(auditedKey(this.key), auditedKey(after));
    this.change.record({ ...note, resourceType: 'api-key', resourceId: this.key.id, changes });
  }

  /** Removes the key, and ends the limits on it; the trail keeps what they were. */
  async delete(): Promise<void> {
    await endLimitsOf(this.change, 'key', this.key.id);
    this.change.write(this.keys.delete(this.key.id));
    this.change.record({ resourceType: 'api-key', resourceId: this.key.id, changes: diff(auditedKey(this.key), null) });
  }

  /** The key as this change leaves it, for the answer; nothing may follow. */
  async view(): Promise<ApiKeyView> {
    const [details] = await this.change.lastly(
      this.keys.detailsOf([this.stored], this.caller.principal.signedInUserId),
    );
    return ApiKeyView.from(details!, this.caller.principal, this.now);
  }

  private store(after: KeyState): void {
    this.stored = Object.assign(new ApiKey(), this.key, after, { updatedAt: this.now });
    this.change.write(this.keys.update(this.stored));
  }
}
