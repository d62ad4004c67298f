import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import { Config } from '../../config/config.js';
import type { UpdateApiKeyDto } from '../api-key.dto.js';
import type { ApiKeyView } from '../api-key.view.js';
import { KeyChangeRules } from './key-change-rules.js';
import { draftOf } from '../settings/draft.js';
import { renewedUntil, withFixedExpiry } from '../settings/fixed-expiry.js';
import type { LockedKey } from './locked-key.js';
import { activityOf } from './key-activity.js';
import { KeyChanges } from './key-changes.js';
import type { RenewApiKeyDto } from './key-lifecycle.dto.js';

const UPDATE = { permission: 'platform:api-keys:update' } as const;

/** Changing the fields of a key, activating and deactivating it, and starting its validity window anew. */
@Injectable()
export class KeyUpdateService {
  constructor(
    private readonly changes: KeyChanges,
    private readonly admission: KeyChangeRules,
    private readonly config: Config,
  ) {}

  /**
   * Changes the fields that are given, all of them or none.
   *
   * @throws DomainError 400, 403, 404, 409 and 429 as every door: see {@link KeyChangeRules.admit}
   */
  update(caller: KnownCaller, id: string, input: UpdateApiKeyDto): Promise<ApiKeyView> {
    return this.changes.change(caller, id, UPDATE, async (held) => {
      held.requireNotRevoked();
      const activity = input.isActive === undefined ? {} : activityOf(held, input.isActive);
      const draft = { ...held.key, ...draftOf(held.key, input, held.now), ...activity };
      const after = withFixedExpiry(held, draft, input.expiresAt !== undefined);
      await this.admission.admit(held, after);
      held.save(after);
      return held.view();
    });
  }

  /** Activates the key. @throws DomainError 409 DEACTIVATED_BY_OTHER, ALREADY_REVOKED; 429 API_KEY_LIMIT_REACHED */
  activate(caller: KnownCaller, id: string): Promise<ApiKeyView> {
    return this.changes.change(caller, id, UPDATE, async (held) => {
      await this.switch(held, true);
      return held.view();
    });
  }

  /** Deactivates the key. @throws DomainError 409 ALREADY_REVOKED */
  deactivate(caller: KnownCaller, id: string): Promise<ApiKeyView> {
    return this.changes.change(caller, id, UPDATE, async (held) => {
      await this.switch(held, false);
      return held.view();
    });
  }

  /** Activates or deactivates a key that a change holds; a key that is active or inactive already stays as it is. */
  async switch(held: LockedKey, isActive: boolean): Promise<void> {
    const after = { ...held.key, ...activityOf(held, isActive) };
    await this.admission.admit(held, after);
    held.save(after);
  }

  /**
   * Starts the validity window anew; whether the key is active stays. A date of one's own choice that is later
   * than the key's needs the permission.
   *
   * @throws DomainError 400, 403, 409, 429 as every door
   */
  renew(caller: KnownCaller, id: string, input: RenewApiKeyDto): Promise<ApiKeyView> {
    return this.changes.change(caller, id, UPDATE, async (held) => {
      await this.startWindow(held, input);
      return held.view();
    });
  }

  /** Starts the window of a key that a change holds: until `expiresAt`, or for as long as the key's renewals last. */
  async startWindow(held: LockedKey, input: RenewApiKeyDto): Promise<void> {
    held.requireNotRevoked();
    const asked = draftOf(held.key, input, held.now).expiresAt;
    const isWindow = input.expiresAt === undefined;
    const expiresAt = isWindow ? renewedUntil(held, held.key.validityDays ?? this.config.keyValidityDays) : asked;
    const after = withFixedExpiry(held, { ...held.key, expiresAt }, !isWindow);
    await this.admission.admit(held, after, { isRenewal: isWindow });
    held.save(after);
  }
}
