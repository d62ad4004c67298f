import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { violatedConstraint } from '../../common/database-errors.js';
import { permissionDenied } from '../../access/access.errors.js';
import { EffectiveRights } from '../../access/effective-rights.js';
import type { KnownCaller } from '../../access/caller.js';
import { GrantsReader, type UserGrants } from '../../access/grants.reader.js';
import { raiseOwnerLimit } from '../../access/owner-limit.js';
import { ChangePropagation } from '../../audit/change-propagation.js';
import { type Change, Changes } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { inSavepoint } from '../../audit/open-change.js';
import { RetryTransaction } from '../../audit/retry-transaction.js';
import { Clock } from '../../common/clock.js';
import { DomainError, type FieldError, validationFailed } from '../../common/domain-error.js';
import { costFromCents } from '../../common/money.js';
import { readEntry } from '../../common/validation.pipe.js';
import { Config } from '../../config/config.js';
import { aliasTaken } from '../api-key.errors.js';
import { ApiKeysRepository, isAliasTaken } from '../api-keys.repository.js';
import { ImportApiKeyDto, type ImportApiKeysDto } from './import-api-keys.dto.js';
import type { ImportApiKeysView, ImportOutcome, ImportResultView } from './import-api-keys.view.js';
import { KeyCreationRules, type Parties } from '../create/key-creation-rules.js';
import { importedHash } from './imported-hash.js';
import { inBatches, inTime } from './key-batches.js';
import { KeyCreation, type PastKey } from '../create/key-creation.js';
import { standingOnKey } from '../key-standing.js';
import { PastedSecrets } from '../pasted-secrets.js';
import { importedMacOf } from '../secret.js';

/** An entry whose form is right. */
interface Entry {
  readonly index: number;
  readonly ownerId: string;
  readonly sha256: Buffer;
  readonly fields: ImportApiKeyDto;
  readonly past: PastKey;
}

const READ = { permission: 'platform:api-keys:read', itself: true } as const;
/** An entry names this many of its wrong fields, so that an answer stays in proportion to its request. */
const MAX_ERRORS = 10;

/**
 * Takes over keys of another system by their hashes, so that clients keep their secrets. Every entry is judged like a
 * create of its own, and none of them fails another. The same import twice finds duplicates.
 */
@Injectable()
export class KeyImportService {
  constructor(
    private readonly changes: Changes,
    private readonly admission: KeyCreationRules,
    private readonly creation: KeyCreation,
    private readonly keys: ApiKeysRepository,
    private readonly grants: GrantsReader,
    private readonly pasted: PastedSecrets,
    private readonly clock: Clock,
    private readonly config: Config,
    private readonly propagation: ChangePropagation,
  ) {}

  /**
   * For callers that hold `platform:api-keys:create` and `:assign`. @throws DomainError 503 when nothing has been
   * imported
   */
  async import(caller: KnownCaller, { keys, raiseOwnerLimits = false }: ImportApiKeysDto): Promise<ImportApiKeysView> {
    const read = await Promise.all(keys.map((key, index) => this.read(caller, key, index)));
    const seqs: string[] = [];
    const imported = await inBatches(
      read.filter((entry) => 'fields' in entry),
      async (batch) => {
        const { result, seq } = await this.changes.commit(caller, (change) =>
          this.importBatch(change, caller, batch, raiseOwnerLimits),
        );
        if (seq !== null) seqs.push(seq);
        return result;
      },
      (entry) =>
        resultOf(entry, 'refused', {
          code: 'UNAVAILABLE',
          detail: 'The server could not get to this entry; send it again.',
        }),
    );
    // Until the feed has told it, a replica takes an imported secret for a made-up one: here not even for a moment.
    if (seqs.length > 0) await this.propagation.waitUntilAppliedHere(seqs.at(-1)!);
    const done = new Map(imported.map((result) => [result.index, result]));
    const results = read.map((entry) => ('fields' in entry ? done.get(entry.index)! : entry));
    const count = (outcome: ImportOutcome) => results.filter((result) => result.outcome === outcome).length;
    return { results, counts: { created: count('created'), duplicate: count('duplicate'), refused: count('refused') } };
  }

  private async read({ principal }: KnownCaller, key: unknown, index: number): Promise<Entry | ImportResultView> {
    const shown = this.pasted.findIn(key);
    if (shown.length > 0) return refused(index, shown);
    const reading = await readEntry(ImportApiKeyDto, key);
    if ('errors' in reading) return refused(index, reading.errors);
    const { value: fields } = reading;
    const sha256 = importedHash(fields.sha256);
    if (typeof sha256 === 'string') return refused(index, [{ path: 'sha256', message: sha256 }]);
    const errors = [
      ...prefixErrors(fields.prefix, sha256, `${this.config.apiKeyPrefix}_`),
      ...pastErrors(fields, this.clock.now()),
    ];
    if (errors.length > 0) return refused(index, errors);
    return { index, ownerId: fields.ownerId?.toLowerCase() ?? principal.ownerId, sha256, fields, past: pastOf(fields) };
  }

  /**
   * All owners are locked at once, in order, before any key: two imports that name the same owners do not block each
   * other.
   */
  private async importBatch(
    change: Change,
    caller: KnownCaller,
    batch: readonly Entry[],
    raiseOwnerLimits: boolean,
  ): Promise<ImportResultView[]> {
    const ownerIds = [...new Set(batch.map((entry) => entry.ownerId))];
    const parties = await this.admission.lockParties(change.tx, caller, ownerIds[0]!, ownerIds);
    // Asked again of what the caller holds now that nobody can take it away before the commit.
    if (!parties.caller.principal.may('platform:api-keys:assign')) throw permissionDenied('platform:api-keys:assign');
    const raisable = raiseOwnerLimits ? await this.findRaisable(change, parties) : new Set<string>();
    const results: ImportResultView[] = [];
    // Only who has got a key needs more room: an import that adds none raises nothing.
    const grown = new Map<string, UserGrants>();
    for (const entry of inTime(batch)) {
      const found = parties.others.get(entry.ownerId) ?? null;
      const isRaisable = found !== null && raisable.has(found.id);
      const owner = isRaisable ? withRoom(found) : found;
      const result = await this.importOne(change, { ...parties, owner }, entry, raiseOwnerLimits);
      results.push(result);
      if (isRaisable && result.outcome === 'created') grown.set(found.id, found);
    }
    for (const owner of grown.values()) await this.raiseLimit(change, owner);
    return results;
  }

  /**
   * Owners whose limits the caller may raise: as with every change of a user, those who may do nothing that the caller
   * may not.
   *
   * @throws DomainError 403 PERMISSION_DENIED for the whole import: it asks for what its caller may not
   */
  private async findRaisable({ tx }: Change, { caller, actor, others }: Parties): Promise<ReadonlySet<string>> {
    const actors = Promise.resolve(new Map([[actor.id, actor]]));
    const { rights } = await EffectiveRights.locked(caller.principal, this.grants.in(tx), actors);
    rights.requirePermission('platform:users:update');
    return new Set([...others.values()].filter((owner) => holdsAllOf(rights, owner)).map(({ id }) => id));
  }

  /** To what the owner has, if that is more than the owner may; as a change of the user, beside those of the keys. */
  private async raiseLimit({ tx, record }: Change, owner: UserGrants): Promise<void> {
    const cap = owner.maxActiveKeys ?? this.config.maxActiveKeys;
    const active = await this.keys.in(tx).countActiveOf(owner.id);
    if (active <= cap) return;
    await raiseOwnerLimit(tx, owner.id, active, this.clock.now());
    const changes = diff({ maxActiveKeys: owner.maxActiveKeys }, { maxActiveKeys: active });
    record({ action: 'users:update', resourceType: 'user', resourceId: owner.id, changes });
  }

  private async importOne(
    change: Change,
    parties: Parties,
    entry: Entry,
    isRaising: boolean,
  ): Promise<ImportResultView> {
    const known = await this.findDuplicate(change, parties, entry);
    if (known !== null) return known;
    try {
      // A savepoint: what an entry that is refused has done is undone, and nothing else.
      const { result: id } = await inSavepoint(change, (part) => {
        const secret = { sha256: entry.sha256, prefix: entry.fields.prefix };
        return this.creation.adopt(part, parties, entry.ownerId, entry.fields, secret, entry.past);
      });
      return resultOf(entry, 'created', { id });
    } catch (error) {
      if (isImportedTwice(error)) {
        const duplicate = await this.findDuplicate(change, parties, entry);
        if (duplicate === null) throw new RetryTransaction();
        return duplicate;
      }
      const refusal = isAliasTaken(error) ? aliasTaken() : error;
      if (!(refusal instanceof DomainError) || ['unavailable', 'unauthenticated'].includes(refusal.kind)) throw error;
      const { errors } = refusal.extras;
      const detail =
        refusal.code === 'API_KEY_LIMIT_REACHED' ? `${refusal.message} ${limitHint(isRaising)}` : refusal.message;
      return resultOf(entry, 'refused', { code: refusal.code, detail, ...(errors && { errors: [...errors] }) });
    }
  }

  private async findDuplicate({ tx }: Change, { caller }: Parties, entry: Entry): Promise<ImportResultView | null> {
    const macs = this.config.peppers.map(({ key }) => importedMacOf(key, entry.sha256));
    const found = await this.keys.in(tx).findByImportedMac(macs, caller.principal.signedInUserId);
    if (found === null) return null;
    return resultOf(entry, 'duplicate', {
      id: standingOnKey(caller.principal, READ, found) === null ? null : found.id,
    });
  }
}

/** The owner as the import may see them where the caller may raise their limit: with room for every key. */
function withRoom(owner: UserGrants): UserGrants {
  return { ...owner, maxActiveKeys: Number.MAX_SAFE_INTEGER };
}

function holdsAllOf(rights: EffectiveRights, owner: UserGrants): boolean {
  try {
    rights.requireHolding(owner.assignedGrants);
    rights.requireWithinPolicy(owner);
    return true;
  } catch (error) {
    if (error instanceof DomainError) return false;
    throw error;
  }
}

function limitHint(isRaising: boolean): string {
  return isRaising
    ? 'This import did not raise it: you do not hold all that the owner may do.'
    : 'Or import with raiseOwnerLimits.';
}

/** What would never verify, and what gives the secret away. */
function prefixErrors(prefix: string, sha256: Buffer, own: string): FieldError[] {
  if (prefix.startsWith(own))
    return [{ path: 'prefix', message: `must not start with ${own}: such strings are taken for secrets made here` }];
  if (own.startsWith(prefix))
    return [
      { path: 'prefix', message: `must be longer, to tell the secret from those made here, which start with ${own}` },
    ];
  if (createHash('sha256').update(prefix).digest().equals(sha256))
    return [{ path: 'prefix', message: 'must be shorter than the secret; this is the entire secret' }];
  return [];
}

function pastErrors({ createdAt, lastUsedAt }: ImportApiKeyDto, now: Date): FieldError[] {
  const errors: FieldError[] = [];
  for (const [path, text] of Object.entries({ createdAt, lastUsedAt })) {
    if (text !== undefined && new Date(text) > now) errors.push({ path, message: 'must not lie in the future' });
  }
  if (
    errors.length === 0 &&
    lastUsedAt !== undefined &&
    createdAt !== undefined &&
    new Date(lastUsedAt) < new Date(createdAt)
  ) {
    errors.push({ path: 'lastUsedAt', message: 'must not lie before createdAt' });
  }
  return errors;
}

function pastOf({ spentCents, isActive = true, createdAt, lastUsedAt }: ImportApiKeyDto): PastKey {
  return {
    spentMicroCents: spentCents === undefined ? 0n : costFromCents(spentCents),
    isActive,
    createdAt: createdAt === undefined ? null : new Date(createdAt),
    lastUsedAt: lastUsedAt === undefined ? null : new Date(lastUsedAt),
  };
}

function refused(index: number, wrong: readonly FieldError[]): ImportResultView {
  // What is public of them: a name may be a secret.
  const { code, message, extras } = validationFailed(wrong);
  const errors = (extras.errors ?? []).slice(0, MAX_ERRORS);
  return { index, outcome: 'refused', id: null, code, detail: message, errors };
}

function resultOf({ index }: Entry, outcome: ImportOutcome, rest: Partial<ImportResultView>): ImportResultView {
  return { index, outcome, id: null, code: null, ...rest };
}

/** Whether a statement failed because another import has just brought the same secret. */
function isImportedTwice(error: unknown): boolean {
  return violatedConstraint(error) === 'api_key_secret_imported_mac_key';
}
