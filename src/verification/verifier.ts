import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { type VerdictCode, decide, explainChecks } from './checks.js';
import type { KeyRecord } from './key-record.js';
import { VerdictCounter } from '../usage/verdict-counter.js';
import { SecretProver } from './secret-prover.js';
import type { VerdictView } from './verdict.view.js';
import type { VerifyDto } from './verify.dto.js';

/** Answers "may this key do this, now?". A refusal is a value, never an exception. */
@Injectable()
export class Verifier {
  constructor(
    private readonly prover: SecretProver,
    private readonly clock: Clock,
    private readonly verdicts: VerdictCounter,
  ) {}

  /** Decides on a presented secret. */
  async verify(question: VerifyDto): Promise<VerdictView> {
    const proof = await this.prover.prove(question.key);
    if (!('record' in proof)) return unproven(proof.code);
    const verdict = this.verdictOn(proof.record, question);
    if (question.dryRun !== true) this.verdicts.count(proof.record.keyId, verdict.code);
    return verdict;
  }

  private verdictOn(record: KeyRecord, question: VerifyDto): VerdictView {
    const now = this.clock.now();
    const refusal = decide(record, question, now);
    return {
      valid: refusal === null,
      code: refusal?.code ?? 'VALID',
      ...(refusal === null ? {} : { detail: refusal.detail }),
      keyId: record.keyId,
      name: record.name,
      ownerId: record.ownerId,
      scopes: [...record.scopes],
      roles: [...record.roles],
      tags: [...record.tags],
      metadata: { ...record.metadata },
      ...(question.explain ? { checks: explainChecks(record, question, now) } : {}),
    };
  }
}

function unproven(code: Extract<VerdictCode, 'MALFORMED' | 'NOT_FOUND'>): VerdictView {
  return {
    valid: false,
    code,
    detail: code === 'MALFORMED' ? 'This has not the shape of a key.' : 'There is no such key.',
  };
}
