import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { findVersion, importedMacOf, macMatches, macOf, parse, tagMatches } from '../api-keys/secret.js';
import { Config } from '../config/config.js';
import type { KeyRecord } from './key-record.js';
import { KeyRecordsRepository } from './key-records.repository.js';

/** Another system's key: visible ASCII, neither tiny nor huge. */
const IMPORTED_SHAPE = /^[\x21-\x7e]{16,512}$/;

/** Whom a presented string belongs to, or why nobody can say. */
export type Proof = { readonly record: KeyRecord } | { readonly code: 'MALFORMED' | 'NOT_FOUND' };

/**
 * From a presented string to the record it proves: shape, tag, record, MAC. A bad tag, an unknown kid and a
 * wrong secret give one and the same answer, and none of them touches the key.
 */
@Injectable()
export class SecretProver {
  constructor(
    private readonly records: KeyRecordsRepository,
    private readonly config: Config,
  ) {}

  async prove(presented: string): Promise<Proof> {
    const parsed = parse(presented, this.config.apiKeyPrefix);
    if (parsed === null) return this.proveImported(presented);
    if (!tagMatches(parsed, this.config.tagKeys)) return { code: 'NOT_FOUND' };
    const record = await this.records.findByKid(parsed.kid);
    if (record === null || record.environment !== parsed.environment) return { code: 'NOT_FOUND' };
    const pepper = findVersion(this.config.peppers, record.pepperVersion);
    if (pepper === null || !macMatches(record.mac, macOf(pepper.key, record.keyId, parsed))) return { code: 'NOT_FOUND' };
    return { record };
  }

  private async proveImported(presented: string): Promise<Proof> {
    if (presented.startsWith(`${this.config.apiKeyPrefix}_`) || !IMPORTED_SHAPE.test(presented)) return { code: 'MALFORMED' };
    const sha256 = createHash('sha256').update(presented, 'utf8').digest();
    const record = await this.records.findByImportedMac(this.config.peppers.map(({ key }) => importedMacOf(key, sha256)));
    return record ? { record } : { code: 'NOT_FOUND' };
  }
}
