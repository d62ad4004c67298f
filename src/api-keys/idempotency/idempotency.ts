import { Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import type { Change } from '../../audit/changes.js';
import { RetryTransaction } from '../../audit/retry-transaction.js';
import { canonicalJson } from '../../common/canonical-json.js';
import { DomainError } from '../../common/domain-error.js';
import { missingVersion } from '../../common/missing-version.js';
import { Config } from '../../config/config.js';
import { findVersion, signing } from '../secret.js';
import { type AnswerName, type KeptAnswer, IdempotencyRepository } from './idempotency.repository.js';
import { type AnswerBinding, seal, unseal } from './sealed-answer.js';

/** A request that may be a retry of an earlier one. */
export interface RepeatableRequest {
  /** The header `Idempotency-Key`; null: every request is its own. */
  readonly idempotencyKey: string | null;
  /** The caller's owner: a retry may come with another credential of the same owner. */
  readonly principalId: string;
  readonly route: string;
  /** What the path and query name. */
  readonly target: string;
  /** The body after validation. */
  readonly payload: object;
}

/** What a route answers. */
export interface Answer<T> {
  readonly status: number;
  readonly body: T;
  /** The secret that `body` shows, by its public id; null when it shows none. */
  readonly kid: string | null;
}

/** An answer, and whether an earlier request got it first. */
export interface RepeatedAnswer<T> extends Answer<T> {
  readonly isReplayed: boolean;
}

/** 409: the request was carried out, but what it answered is no longer worth having. */
export function idempotencyConflict(): DomainError {
  return new DomainError(
    'conflict',
    'IDEMPOTENCY_CONFLICT',
    'This request was carried out before, and the secret of its answer is no longer current.',
  );
}

/**
 * Makes create and regenerate safe to retry: the same request under the same `Idempotency-Key` gets the same answer for
 * ten minutes, its secret included. The answer is kept, encrypted, in the transaction of the change itself, so there is
 * never one without the other; whatever fails frees the key.
 *
 * @see docs/api/README.md, Retries
 */
@Injectable()
export class Idempotency {
  constructor(
    private readonly kept: IdempotencyRepository,
    private readonly config: Config,
  ) {}

  /**
   * Inside a change: the kept answer once `recheck` has found it fit for this caller, or else what `make` answers, kept
   * for the next time. A twin that is under way is waited for.
   *
   * @throws DomainError 409 IDEMPOTENCY_CONFLICT; 422 IDEMPOTENCY_KEY_REUSED; 503 when a twin takes longer than 2 s
   */
  async answer<T>(
    { tx, write }: Change,
    request: RepeatableRequest,
    make: () => Promise<Answer<T>>,
    recheck: (answer: Answer<T>) => Promise<void>,
  ): Promise<RepeatedAnswer<T>> {
    const { idempotencyKey } = request;
    if (idempotencyKey === null) return { ...(await make()), isReplayed: false };
    const kept = this.kept.in(tx);
    const binding = { ...request, idempotencyKey, payloadHash: hashOf(canonicalJson(request.payload)) };
    const name = { ...request, keyHash: hashOf(idempotencyKey) };
    if (await kept.claim(name, binding.payloadHash)) {
      const answer = await make();
      write(kept.fill(name, this.sealed(binding, answer)));
      return { ...answer, isReplayed: false };
    }
    const answer = await this.earlier<T>(kept, name, binding);
    await recheck(answer);
    return { ...answer, isReplayed: true };
  }

  private async earlier<T>(kept: IdempotencyRepository, name: AnswerName, binding: AnswerBinding): Promise<Answer<T>> {
    const found = await kept.find(name);
    // It expired between the two statements: now the name is free.
    if (found === null) throw new RetryTransaction();
    if (!found.payloadHash.equals(binding.payloadHash)) {
      throw new DomainError(
        'unprocessable',
        'IDEMPOTENCY_KEY_REUSED',
        'This Idempotency-Key came with another request before.',
      );
    }
    const pepper = findVersion(this.config.peppers, found.pepperVersion);
    if (pepper === null) throw missingVersion('API_KEY_PEPPERS', found.pepperVersion);
    const text = unseal(pepper.key, binding, found.ciphertext);
    if (text === null) throw idempotencyConflict();
    return { status: found.status, body: JSON.parse(text) as T, kid: found.kid };
  }

  private sealed<T>(binding: AnswerBinding, { status, body, kid }: Answer<T>): KeptAnswer {
    const pepper = signing(this.config.peppers);
    return {
      payloadHash: binding.payloadHash,
      pepperVersion: String(pepper.version),
      kid,
      status,
      ciphertext: seal(pepper.key, binding, JSON.stringify(body)),
    };
  }
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
