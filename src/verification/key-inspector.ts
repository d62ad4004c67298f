import { Injectable } from '@nestjs/common';
import { decideOnState } from './checks.js';
import { KeyResolver } from './key-resolver.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';

/** Tells what a presented secret is, for whoever asks about it and not on its behalf: nothing is counted or noted. */
@Injectable()
export class KeyInspector {
  constructor(private readonly recognizer: KeyResolver) {}

  /**
   * The record of a secret that is genuine and works: neither it nor its key is revoked, disabled or expired, and its
   * owner is active. null for everything else. Restrictions, rate limits and budgets do not matter here.
   *
   * @throws DomainError 503 as for a verify
   */
  async findWorking(presented: string): Promise<KeyRecord | null> {
    const recognition = await this.recognizer.resolve(presented);
    if (typeof recognition === 'string' || recognition.isDenied) return null;
    return decideOnState(recognition.record, recognition.databaseNowMs) === null ? recognition.record : null;
  }
}
