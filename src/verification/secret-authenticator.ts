import { Injectable } from '@nestjs/common';
import { hash } from 'node:crypto';
import {
  type ParsedSecret,
  findVersion,
  importedMacOf,
  macMatches,
  macOf,
  parse,
  tagMatches,
} from '../api-keys/secret.js';
import { MAX_KEY_CHARACTERS } from '../../packages/contract/src/grammar.js';
import { missingVersion } from '../common/missing-version.js';
import { Config } from '../config/config.js';
import { CredentialBindings } from '../installation/bindings/credential-bindings.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';
import { RecordCache } from '../key-cache/records/record-cache.js';
import { RecordLoader, type Lookup, recordIn } from '../key-cache/records/record-loader.js';

/**
 * What a key of another system usually looks like. One of any other shape can be imported and is found as well; the
 * shape
 * decides only what a text is called that proves nothing.
 */
const LIKELY_KEY = /^[\x21-\x7e]{16,512}$/;

/** The record a presented string proves, or why nobody can say whose it is. */
export type Proof = KeyRecord | 'MALFORMED' | 'NOT_FOUND';

/**
 * From a presented string to the record it proves: shape, tag, record, MAC. A bad tag, an unknown kid and a wrong
 * secret give one and the same answer, and none of them touches the key.
 *
 * What has proven itself is remembered under the SHA-256 of the whole string, for as long as its record is: tag and MAC
 * are computed on a miss only. Garbage costs no statement.
 */
@Injectable()
export class SecretAuthenticator {
  constructor(
    private readonly cache: RecordCache,
    private readonly loader: RecordLoader,
    private readonly config: Config,
    private readonly bindings: CredentialBindings,
  ) {}

  /**
   * At once where memory suffices; else a promise that rejects when the database is away, or this replica lacks the
   * pepper of the secret.
   */
  authenticate(presented: string, nowMs: number): Proof | Promise<Proof> {
    if (presented.length > MAX_KEY_CHARACTERS) return 'MALFORMED';
    const digest = hash('sha256', presented, 'binary');
    const proven = this.cache.findProven(digest, nowMs);
    if (proven !== null) return proven;
    const parsed = parse(presented, this.config.apiKeyPrefix);
    return parsed === null ? this.proveImported(presented, digest, nowMs) : this.proveOwn(parsed, digest, nowMs);
  }

  /** The record of a presented string that has proven itself before, where memory still has it. Never waits. */
  findProven(presented: string, nowMs: number): KeyRecord | null {
    return this.cache.findProven(hash('sha256', presented, 'binary'), nowMs);
  }

  /** A refusal for which nothing has to be known: bad shape or bad tag. null when there is more to ask. */
  refuseAtSight(presented: string): 'MALFORMED' | 'NOT_FOUND' | null {
    if (presented.length > MAX_KEY_CHARACTERS) return 'MALFORMED';
    const parsed = parse(presented, this.config.apiKeyPrefix);
    if (parsed === null) {
      if (this.isOfThisSystem(presented)) return 'MALFORMED';
      if (LIKELY_KEY.test(presented)) return null;
      if (this.cache.imported.isEmpty) return 'MALFORMED';
      return this.cache.imported.mayHave(this.importedMacs(hash('sha256', presented, 'buffer'))) === false
        ? 'MALFORMED'
        : null;
    }
    return tagMatches(parsed, this.config.tagKeys) ? null : 'NOT_FOUND';
  }

  /** What a proven key may do in Latchkey: its roles' grants within its owner's. */
  grantsOf(record: KeyRecord, nowMs: number): readonly string[] | Promise<readonly string[]> {
    return this.findGrants(record, nowMs) ?? this.loadGrants(record.secret.kid, record.secret.mac);
  }

  /** The same, or null where memory does not have them. */
  findGrants(record: KeyRecord, nowMs: number): readonly string[] | null {
    return this.cache.findGrants(record, nowMs);
  }

  private proveOwn(parsed: ParsedSecret, digest: string, nowMs: number): Proof | Promise<Proof> {
    const { kid } = parsed;
    if (!tagMatches(parsed, this.config.tagKeys) || this.cache.isUnknown(kid, nowMs)) return 'NOT_FOUND';
    const cached = this.cache.findByKid(kid, nowMs);
    if (cached !== null) return this.checkMac(cached, parsed, digest);
    return this.load({ name: kid, kid }, (record) => this.checkMac(record, parsed, digest));
  }

  private checkMac(record: KeyRecord, parsed: ParsedSecret, digest: string): Proof | Promise<Proof> {
    const { secret, key } = record;
    const pepper = findVersion(this.config.peppers, secret.pepperVersion);
    if (secret.kind !== 'own' || key.environment !== parsed.environment) return 'NOT_FOUND';
    if (pepper === null) return Promise.reject(missingVersion('API_KEY_PEPPERS', secret.pepperVersion));
    if (!macMatches(secret.mac, macOf(pepper.key, key.id, parsed))) return 'NOT_FOUND';
    this.cache.remember(record, digest);
    return record;
  }

  private proveImported(presented: string, digest: string, nowMs: number): Proof | Promise<Proof> {
    if (this.isOfThisSystem(presented)) return 'MALFORMED';
    const miss = LIKELY_KEY.test(presented) ? 'NOT_FOUND' : 'MALFORMED';
    if (this.cache.imported.isEmpty) return miss;
    const name = `imported:${digest}`;
    if (this.cache.isUnknown(name, nowMs)) return miss;
    const macs = this.importedMacs(Buffer.from(digest, 'latin1'));
    if (this.cache.imported.mayHave(macs) === false) return miss;
    const check = (record: KeyRecord) => {
      if (!this.bindings.isSecretOf(record.secret)) {
        this.bindings.noteRefused('imported-secret', record.key.id);
        return miss;
      }
      this.cache.remember(record, digest);
      return record;
    };
    return this.load({ name, macs }, check, miss);
  }

  /** Under each of the peppers: which one was current when the secret was imported, its text does not tell. */
  private importedMacs(sha256: Buffer): Buffer[] {
    return this.config.peppers.map(({ key }) => importedMacOf(key, sha256));
  }

  /** Such text is never looked for among the keys of other systems, and none of them is imported. */
  private isOfThisSystem(presented: string): boolean {
    return presented.startsWith(`${this.config.apiKeyPrefix}_`);
  }

  private async load(
    want: Lookup,
    check: (record: KeyRecord) => Proof | Promise<Proof>,
    miss: Proof = 'NOT_FOUND',
  ): Promise<Proof> {
    const record = recordIn(await this.loader.load(want), want);
    return record === null ? miss : check(record);
  }

  /** A role or the owner has changed since the key was loaded: everything is read anew. */
  private async loadGrants(kid: string, mac: Buffer): Promise<readonly string[]> {
    const want: Lookup = { name: `grants:${kid}`, kid, macs: [mac] };
    const loaded = await this.loader.load(want);
    const record = recordIn(loaded, want);
    return record === null ? [] : loaded.grantsOf(record);
  }
}
