import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import type { Change } from '../../audit/changes.js';
import { inTurn } from '../../common/in-turn.js';
import type { ApiKeySecret } from '../api-key-secret.entity.js';
import { lastSecret, noHandOver, onlyOwnerDraws, secretNotFound } from '../api-key.errors.js';
import type { ApiKeyView } from '../api-key.view.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { DailyCreations } from '../create/daily-creations.js';
import type { LockedKey } from '../change/locked-key.js';
import { Idempotency, type Answer, type RepeatedAnswer } from '../idempotency/idempotency.js';
import { NO_HAND_OVER, openHandOver } from '../hand-over/hand-over.js';
import { KeyCreationRules } from '../create/key-creation-rules.js';
import { KeyChanges } from '../change/key-changes.js';
import type { RegenerateApiKeyDto } from '../change/key-lifecycle.dto.js';
import type { RegeneratedApiKeyView } from '../change/key-lifecycle.view.js';
import { SecretFactory } from '../secret-factory.js';
import { SecretReplay } from './secret-replay.js';

const UPDATE = { permission: 'platform:api-keys:update' } as const;
const READ = { permission: 'platform:api-keys:read' } as const;

/** Replacing the secret of a key. Id, limits, budget and usage are the key's and stay. */
@Injectable()
export class KeySecretsService {
  constructor(
    private readonly changes: KeyChanges,
    private readonly admission: KeyCreationRules,
    private readonly keys: ApiKeysRepository,
    private readonly mint: SecretFactory,
    private readonly creations: DailyCreations,
    private readonly idempotency: Idempotency,
    private readonly replay: SecretReplay,
  ) {}

  /**
   * Gives a key a new secret; the one before works on for the overlap, and any older one ends now, so there are never
   * more than two. An open offer of the next secret ends. The first secret of a key is drawn: an owner without the
   * permission has none but the offered one.
   *
   * @throws DomainError 403 CANNOT_GRANT for a caller who is not its owner and does not hold all it may do; 404;
   *   409 ALREADY_REVOKED, IDEMPOTENCY_CONFLICT, NO_HAND_OVER; 422 IDEMPOTENCY_KEY_REUSED; 429 CREATION_LIMIT_REACHED
   */
  regenerate(
    caller: KnownCaller,
    id: string,
    input: RegenerateApiKeyDto,
    idempotencyKey: string | null = null,
  ): Promise<RepeatedAnswer<RegeneratedApiKeyView>> {
    const request = {
      idempotencyKey,
      principalId: caller.principal.ownerId,
      route: 'POST /api-keys/:id/regenerate',
      target: id,
      payload: input,
    };
    return this.changes.commit(caller, (change) =>
      this.idempotency.answer<RegeneratedApiKeyView>(
        change,
        request,
        async () => this.regenerateHeld(await this.changes.lock(change, caller, id, UPDATE), input.overlapSeconds ?? 0),
        async ({ body, kid }) => {
          await this.changes.lock(change, { ...caller, precondition: null }, id, UPDATE);
          await this.replay.require(change, caller, { keyId: id, kid: kid!, ownerId: body.apiKey.ownerId });
        },
      ),
    );
  }

  /**
   * Makes the secret that was offered to the caller, as a regenerate with the overlap of the offer. Of two draws one
   * succeeds; a draw whose answer was lost is repeated with its `Idempotency-Key`.
   *
   * @throws DomainError 403 NOT_THE_OWNER; 404; 409 NO_HAND_OVER, ALREADY_REVOKED, IDEMPOTENCY_CONFLICT;
   *   422 IDEMPOTENCY_KEY_REUSED; 429 CREATION_LIMIT_REACHED
   */
  draw(
    caller: KnownCaller,
    id: string,
    idempotencyKey: string | null = null,
  ): Promise<RepeatedAnswer<RegeneratedApiKeyView>> {
    const request = {
      idempotencyKey,
      principalId: caller.principal.ownerId,
      route: 'POST /api-keys/:id/draw',
      target: id,
      payload: {},
    };
    return this.changes.commit(caller, (change) =>
      this.idempotency.answer<RegeneratedApiKeyView>(
        change,
        request,
        async () => this.drawHeld(await this.lockOwn(change, caller, id)),
        async ({ body, kid }) => {
          await this.lockOwn(change, { ...caller, precondition: null }, id);
          await this.replay.require(change, caller, { keyId: id, kid: kid!, ownerId: body.apiKey.ownerId });
        },
      ),
    );
  }

  /**
   * Ends one of two secrets. The one that stays works as long as it would have: after the newest is ended, that is
   * until the end of the overlap.
   *
   * @throws DomainError 404 SECRET_NOT_FOUND; 409 LAST_SECRET, ALREADY_REVOKED
   */
  endSecret(caller: KnownCaller, id: string, kid: string): Promise<ApiKeyView> {
    return this.changes.change(caller, id, UPDATE, async (held) => {
      held.requireNotRevoked();
      const live = await this.keys.in(held.tx).findLiveSecrets(id, held.now);
      if (!live.some((secret) => secret.kid === kid)) throw secretNotFound();
      if (live.length === 1) throw lastSecret();
      held.write(this.keys.in(held.tx).revokeSecrets([kid], held.now));
      held.saveSecrets({ details: { endedKids: [kid] } });
      return held.view();
    });
  }

  /** @throws DomainError 403 NOT_THE_OWNER for a caller who may read the key; 404 */
  private async lockOwn(change: Change, caller: KnownCaller, id: string): Promise<LockedKey> {
    const held = await this.changes.lock(change, caller, id, READ);
    if (!held.isOwn) throw onlyOwnerDraws();
    return held;
  }

  private drawHeld(held: LockedKey): Promise<Answer<RegeneratedApiKeyView>> {
    held.requireNotRevoked();
    const open = openHandOver(held.key, held.now);
    if (open === null) throw noHandOver();
    return this.replaceSecret(held, open.overlapSeconds);
  }

  private async regenerateHeld(held: LockedKey, overlapSeconds: number): Promise<Answer<RegeneratedApiKeyView>> {
    held.requireNotRevoked();
    const { key, tx, now, standing } = held;
    const isOffered = held.isOwn && openHandOver(key, now) !== null;
    if (standing !== 'permission' && !isOffered && !(await this.keys.in(tx).hasHadSecret(key.id))) throw noHandOver();
    // Of an admin of the project: what an owner has already, another person gets only where they could make it.
    if (!held.isOwn) this.admission.requireInsidePolicy(held.parties, key, now);
    return this.replaceSecret(held, overlapSeconds);
  }

  private async replaceSecret(held: LockedKey, overlapSeconds: number): Promise<Answer<RegeneratedApiKeyView>> {
    const { key, tx, now } = held;
    const keys = this.keys.in(tx);
    const [live, grants] = await inTurn([
      keys.findLiveSecrets(key.id, now),
      held.isOwn ? [] : this.admission.grantsUnder(tx, held.parties.owner, key.roles),
      this.creations.count(tx, held.caller),
    ]);
    this.admission.requireHeld(held.caller, grants);
    const [previous, ...older] = live;
    const previousSecretExpiresAt = previous ? overlapEnd(previous, overlapSeconds, now) : null;
    const ended = previous && overlapSeconds === 0 ? [previous, ...older] : older;
    const { secret, stored } = this.mint.generate(key.id, key.environment);
    held.write(
      keys.revokeSecrets(
        ended.map(({ kid }) => kid),
        now,
      ),
    );
    if (previous && previousSecretExpiresAt && overlapSeconds > 0)
      held.write(keys.expireSecret(previous.kid, previousSecretExpiresAt));
    held.write(keys.insertSecret(stored));
    const endedKids = ended.map(({ kid }) => kid);
    const previousKid = previous?.kid ?? null;
    held.saveSecrets(
      { details: { kid: stored.kid, overlapSeconds, previousKid, previousSecretExpiresAt, endedKids } },
      { ...key, ...NO_HAND_OVER },
    );
    return {
      status: 200,
      kid: stored.kid,
      body: { apiKey: await held.view(), secretKey: secret.reveal(), previousSecretExpiresAt },
    };
  }
}

/** An overlap never makes a secret work longer than it would have. */
function overlapEnd(previous: ApiKeySecret, overlapSeconds: number, now: Date): Date {
  const end = new Date(now.getTime() + overlapSeconds * 1000);
  return previous.expiresAt !== null && previous.expiresAt < end ? previous.expiresAt : end;
}
