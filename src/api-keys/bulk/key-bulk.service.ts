import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import type { Change } from '../../audit/changes.js';
import { inSavepoint } from '../../audit/open-change.js';
import { DomainError, type FieldError, validationFailed } from '../../common/domain-error.js';
import { isUuid } from '../../common/uuid.js';
import { apiKeyNotFound, invalidKeyId } from '../api-key.errors.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import type { BulkAction, BulkApiKeysDto } from './bulk-api-keys.dto.js';
import type { BulkApiKeysView, BulkOutcome, BulkResultView } from './bulk-api-keys.view.js';
import { KeyChangeRules } from '../change/key-change-rules.js';
import type { LockedKey } from '../change/locked-key.js';
import { KeyCreationRules, type Parties } from '../create/key-creation-rules.js';
import { inBatches, inTime } from './key-batches.js';
import { KeyChanges } from '../change/key-changes.js';
import { KeyRemovalService } from '../change/key-removal.service.js';
import { type KeyOwnership, type KeyRule, standingOnKey } from '../key-standing.js';
import { KeyUpdateService } from '../change/key-update.service.js';

/** One act on a key that a change holds, as its single route does it. */
interface Act {
  /** Who may. */
  readonly rule: KeyRule;
  /** What the trail calls it. */
  readonly name: string;
  readonly apply: (held: LockedKey, input: BulkApiKeysDto) => Promise<void>;
}

const MAX_TAGS = 50;
const UPDATE = { permission: 'platform:api-keys:update' } as const;
const REVOKE = { permission: 'platform:api-keys:delete', itself: true } as const;

/** Ends the transaction of a dry run: everything was done, and nothing stays. */
class DryRunDone extends Error {
  constructor(readonly results: BulkResultView[]) {
    super('A dry run is over.');
  }
}

/** One act on many keys, each judged and recorded as if it were the only one. */
@Injectable()
export class KeyBulkService {
  private readonly acts: Record<BulkAction, Act>;

  constructor(
    private readonly changes: KeyChanges,
    private readonly admission: KeyCreationRules,
    private readonly keys: ApiKeysRepository,
    updates: KeyUpdateService,
    removals: KeyRemovalService,
    changeAdmission: KeyChangeRules,
  ) {
    this.acts = {
      activate: { rule: UPDATE, name: 'api-keys:activate', apply: (held) => updates.switch(held, true) },
      deactivate: { rule: UPDATE, name: 'api-keys:deactivate', apply: (held) => updates.switch(held, false) },
      renew: {
        rule: UPDATE,
        name: 'api-keys:renew',
        apply: (held, { expiresAt }) => updates.startWindow(held, { expiresAt }),
      },
      revoke: {
        rule: REVOKE,
        name: 'api-keys:revoke',
        apply: async (held, { reason }) => removals.end(held, reason ?? null),
      },
      tag: { rule: UPDATE, name: 'api-keys:update', apply: (held, input) => this.tag(held, input, changeAdmission) },
    };
  }

  /**
   * Keys are changed in transactions of a few, in order of their ids. A dry run does the same and takes it back, each
   * part by itself.
   *
   * @throws DomainError 400 for fields that do not belong to the action; 503 when nothing has been done
   */
  async run(caller: KnownCaller, input: BulkApiKeysDto): Promise<BulkApiKeysView> {
    requireFieldsOf(input);
    const act = this.acts[input.action];
    const ids = input.ids.map((id) => id.toLowerCase());
    const done = await inBatches(
      ids.filter(isUuid).sort(),
      (batch) => this.runBatch({ ...caller, action: act.name }, act, batch, input),
      (id): BulkResultView => ({
        id,
        outcome: 'refused',
        code: 'UNAVAILABLE',
        detail: 'The server could not get to this key; send it again.',
      }),
    );
    const byId = new Map(done.map((result) => [result.id, result]));
    const results = ids.map((id) => byId.get(id) ?? refusalOf(id, act, invalidKeyId()));
    const count = (outcome: BulkOutcome) => results.filter((result) => result.outcome === outcome).length;
    return {
      results,
      counts: {
        done: count('done'),
        unchanged: count('unchanged'),
        notFound: count('not-found'),
        refused: count('refused'),
      },
    };
  }

  private async runBatch(
    caller: KnownCaller,
    act: Act,
    ids: readonly string[],
    input: BulkApiKeysDto,
  ): Promise<BulkResultView[]> {
    const work = async (change: Change) => {
      // The list of a caller without the right locks nobody.
      const known = (await this.keys.in(change.tx).ownershipsOf(ids, caller.principal.signedInUserId)).filter(
        (key) => standingOnKey(caller.principal, act.rule, key) !== null,
      );
      const byId = new Map(known.map((key) => [key.id, key]));
      // All owners before any key, as everywhere; taken one by one, two bulk changes would block each other.
      const ownerIds = known.map((key) => key.ownerId);
      const parties =
        known.length === 0 ? null : await this.admission.lockParties(change.tx, caller, ownerIds[0]!, ownerIds);
      const results: BulkResultView[] = [];
      for (const id of inTime(ids)) {
        const key = byId.get(id);
        results.push(
          key && parties ? await this.applyTo(change, parties, act, key, input) : refusalOf(id, act, apiKeyNotFound()),
        );
      }
      if (input.dryRun) throw new DryRunDone(results);
      return results;
    };
    try {
      return await this.changes.commit(caller, work);
    } catch (error) {
      if (error instanceof DryRunDone) return error.results;
      throw error;
    }
  }

  private async applyTo(
    change: Change,
    parties: Parties,
    act: Act,
    key: KeyOwnership,
    input: BulkApiKeysDto,
  ): Promise<BulkResultView> {
    const { id } = key;
    try {
      const { isChange } = await inSavepoint(change, async (part) =>
        act.apply(await this.changes.lockWith(part, parties, act.rule, key), input),
      );
      return { id, outcome: isChange ? 'done' : 'unchanged', code: null };
    } catch (error) {
      if (!(error instanceof DomainError) || ['unavailable', 'unauthenticated'].includes(error.kind)) throw error;
      return refusalOf(id, act, error);
    }
  }

  private async tag(
    held: LockedKey,
    { add = [], remove = [] }: BulkApiKeysDto,
    admission: KeyChangeRules,
  ): Promise<void> {
    const kept = held.key.tags.filter((tag) => !remove.includes(tag));
    const tags = [...kept, ...add.filter((tag) => !kept.includes(tag))];
    if (tags.length > MAX_TAGS)
      throw validationFailed([{ path: 'add', message: `the key would have more than ${MAX_TAGS} tags` }]);
    const after = { ...held.key, tags };
    await admission.admit(held, after);
    held.save(after);
  }
}

function refusalOf(id: string, act: Act, { code, message, extras }: DomainError): BulkResultView {
  if (code === 'API_KEY_NOT_FOUND') return { id, outcome: 'not-found', code };
  // Revoking what is revoked: it is revoked, and nothing is left to do.
  if (act.rule === REVOKE && code === 'ALREADY_REVOKED') return { id, outcome: 'unchanged', code };
  const parts = extras.detailParts === undefined ? {} : { detailParts: extras.detailParts };
  return { id, outcome: 'refused', code, detail: message, ...parts };
}

/** @throws DomainError 400 naming fields that do not belong to the action, or that it lacks */
function requireFieldsOf({ action, expiresAt, reason, add, remove }: BulkApiKeysDto): void {
  const errors: FieldError[] = [];
  if (action !== 'renew' && expiresAt !== undefined)
    errors.push({ path: 'expiresAt', message: 'belongs to the action renew' });
  if (action !== 'revoke' && reason !== undefined)
    errors.push({ path: 'reason', message: 'belongs to the action revoke' });
  if (action !== 'tag' && add !== undefined) errors.push({ path: 'add', message: 'belongs to the action tag' });
  if (action !== 'tag' && remove !== undefined) errors.push({ path: 'remove', message: 'belongs to the action tag' });
  if (action === 'tag' && (add ?? []).length + (remove ?? []).length === 0)
    errors.push({ path: 'add', message: 'must name a tag, unless remove does' });
  const both = (add ?? []).filter((tag) => remove?.includes(tag));
  if (both.length > 0) errors.push({ path: 'remove', message: `names what add names: ${both.join(', ')}` });
  if (errors.length > 0) throw validationFailed(errors);
}
