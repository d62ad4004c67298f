import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { QueryFailedError } from 'typeorm';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { type Change, Changes } from '../../audit/changes.js';
import { inSavepoint } from '../../audit/open-change.js';
import { StartOver } from '../../audit/start-over.js';
import { DomainError, validationFailed } from '../../common/domain-error.js';
import { Config } from '../../config/config.js';
import { aliasTaken } from '../api-key.errors.js';
import { ApiKeysRepository, isAliasTaken } from '../api-keys.repository.js';
import type { ImportApiKeyDto } from './import-api-keys.dto.js';
import type { ImportApiKeysView, ImportOutcome, ImportResultView } from './import-api-keys.view.js';
import { KeyAdmission, type Parties } from '../changes/key-admission.js';
import { inBatches, inTime } from './key-batches.js';
import { KeyCreation } from '../changes/key-creation.js';
import { standingOnKey } from '../key-standing.js';
import { importedMacOf } from '../secret.js';

interface Entry {
  readonly index: number;
  readonly ownerId: string;
  readonly sha256: Buffer;
  readonly fields: ImportApiKeyDto;
}

const READ = { permission: 'platform:api-keys:read', itself: true } as const;

/**
 * Takes over keys of another system by their hashes, so that clients keep their secrets. Every entry is judged like a
 * create of its own, and none of them fails another. The same import twice finds duplicates.
 */
@Injectable()
export class KeyImportService {
  constructor(
    private readonly changes: Changes,
    private readonly admission: KeyAdmission,
    private readonly creation: KeyCreation,
    private readonly keys: ApiKeysRepository,
    private readonly config: Config,
  ) {}

  /** For callers that hold `platform:api-keys:create` and `:assign`. @throws DomainError 503 when nothing has been imported */
  async import(caller: KnownCaller, keys: readonly ImportApiKeyDto[]): Promise<ImportApiKeysView> {
    const entries = keys.map((fields, index): Entry => {
      const ownerId = fields.ownerId?.toLowerCase() ?? caller.principal.ownerId;
      return { index, ownerId, sha256: Buffer.from(fields.sha256, 'hex'), fields };
    });
    const results = await inBatches(
      entries,
      (batch) => this.changes.transaction(caller, (change) => this.importBatch(change, caller, batch)),
      (entry) => resultOf(entry, 'refused', { code: 'UNAVAILABLE', detail: 'The server could not get to this entry; send it again.' }),
    );
    const count = (outcome: ImportOutcome) => results.filter((result) => result.outcome === outcome).length;
    return { results, counts: { created: count('created'), duplicate: count('duplicate'), refused: count('refused') } };
  }

  /** All owners are locked at once, in order, before any key: two imports that name the same owners do not block each other. */
  private async importBatch(change: Change, caller: KnownCaller, batch: readonly Entry[]): Promise<ImportResultView[]> {
    const ownerIds = [...new Set(batch.map((entry) => entry.ownerId))];
    const parties = await this.admission.lockParties(change.tx, caller, ownerIds[0]!, ownerIds);
    // Asked again of what the caller holds now that nobody can take it away before the commit.
    if (!parties.caller.principal.may('platform:api-keys:assign')) throw permissionDenied('platform:api-keys:assign');
    const results: ImportResultView[] = [];
    for (const entry of inTime(batch)) {
      const owner = parties.others.get(entry.ownerId) ?? null;
      results.push(await this.importOne(change, { ...parties, owner }, entry));
    }
    return results;
  }

  private async importOne(change: Change, parties: Parties, entry: Entry): Promise<ImportResultView> {
    const known = await this.findDuplicate(change, parties, entry);
    if (known !== null) return known;
    try {
      // A savepoint: what an entry that is refused has done is undone, and nothing else.
      const { result: id } = await inSavepoint(change, (part) => {
        this.requireForeign(entry);
        const secret = { sha256: entry.sha256, prefix: entry.fields.prefix };
        return this.creation.adopt(part, parties, entry.ownerId, entry.fields, secret);
      });
      return resultOf(entry, 'created', { id });
    } catch (error) {
      if (isImportedTwice(error)) {
        const duplicate = await this.findDuplicate(change, parties, entry);
        if (duplicate === null) throw new StartOver();
        return duplicate;
      }
      const refusal = isAliasTaken(error) ? aliasTaken() : error;
      if (!(refusal instanceof DomainError) || ['unavailable', 'unauthenticated'].includes(refusal.kind)) throw error;
      const { errors } = refusal.extras;
      return resultOf(entry, 'refused', { code: refusal.code, detail: refusal.message, ...(errors && { errors: [...errors] }) });
    }
  }

  private async findDuplicate({ tx }: Change, { caller }: Parties, entry: Entry): Promise<ImportResultView | null> {
    const macs = this.config.peppers.map(({ key }) => importedMacOf(key, entry.sha256));
    const found = await this.keys.in(tx).findByImportedMac(macs);
    if (found === null) return null;
    return resultOf(entry, 'duplicate', { id: standingOnKey(caller.principal, READ, found) === null ? null : found.id });
  }

  /** @throws DomainError 400 for what would never verify, and for a prefix that gives the secret away */
  private requireForeign({ fields, sha256 }: Entry): void {
    const own = `${this.config.apiKeyPrefix}_`;
    if (fields.prefix.startsWith(own)) {
      throw validationFailed([{ path: 'prefix', message: `must not start with ${own}: such strings are taken for secrets made here` }]);
    }
    if (createHash('sha256').update(fields.prefix).digest().equals(sha256)) {
      throw validationFailed([{ path: 'prefix', message: 'must be the public start of the secret, and is all of it' }]);
    }
  }
}

function resultOf({ index }: Entry, outcome: ImportOutcome, rest: Partial<ImportResultView>): ImportResultView {
  return { index, outcome, id: null, code: null, ...rest };
}

/** Whether a statement failed because another import has just brought the same secret. */
function isImportedTwice(error: unknown): boolean {
  return error instanceof QueryFailedError && (error.driverError as { constraint?: string }).constraint === 'api_key_secret_imported_mac_key';
}
