import { Injectable } from '@nestjs/common';
import { DENIED, decideOnState } from './checks.js';
import { KeyResolver } from './key-resolver.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';
import { noteRefusal } from './refusals/note-refusal.js';
import { RefusedCalls } from './refusals/refused-calls.js';
import type { VerifyingCaller } from './verifier.js';

/** Tells what a presented secret is, without using it: no rate limit, no budget, no verdict is counted. */
@Injectable()
export class KeyInspector {
  constructor(
    private readonly recognizer: KeyResolver,
    private readonly refusals: RefusedCalls,
  ) {}

  /**
   * The record of a secret that is genuine and works: neither it nor its key is revoked, inactive or expired, its owner
   * is active, and the caller may verify keys of its environment. null for everything else; a key that is known is then
   * in its list of refused calls. Restrictions, rate limits and budgets do not matter here.
   *
   * @throws DomainError 503 as for a verify
   */
  async findWorking(presented: string, caller: VerifyingCaller): Promise<KeyRecord | null> {
    const recognition = await this.recognizer.resolve(presented);
    if (typeof recognition === 'string') return null;
    const { record, isDenied, databaseNowMs } = recognition;
    const refusal = isDenied ? DENIED : decideOnState(record, databaseNowMs, caller.principal.verifiesEnvironment);
    if (refusal === null) return record;
    noteRefusal(this.refusals, recognition, {}, refusal, { ...caller, via: 'introspect' });
    return null;
  }
}
