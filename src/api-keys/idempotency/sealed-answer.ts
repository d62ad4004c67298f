import { hkdfSync } from 'node:crypto';
import { openBytes, sealBytes } from '../../common/sealed-bytes.js';

/** What a sealed answer is bound to: it opens for exactly this request and nothing else. */
export interface AnswerBinding {
  /**
   * As the client sent it; only its hash is stored, so the stored row alone opens nothing even for who has the pepper.
   */
  readonly idempotencyKey: string;
  readonly principalId: string;
  readonly route: string;
  readonly target: string;
  readonly payloadHash: Buffer;
}

/**
 * AES-256-GCM under a key of its own: HKDF-SHA-256(pepper, Idempotency-Key ‖ principal ‖ route ‖ target).
 * The result is nonce, ciphertext and tag.
 */
export function seal(pepper: Buffer, binding: AnswerBinding, text: string): Buffer {
  return sealBytes(sealingKey(pepper, binding), binding.payloadHash, Buffer.from(text, 'utf8'));
}

/** The text, or null when it was sealed for another request or has been altered. */
export function unseal(pepper: Buffer, binding: AnswerBinding, sealed: Buffer): string | null {
  return openBytes(sealingKey(pepper, binding), binding.payloadHash, sealed)?.toString('utf8') ?? null;
}

/** NUL cannot be part of any of the texts, so no two bindings give one key. */
function sealingKey(pepper: Buffer, { idempotencyKey, principalId, route, target }: AnswerBinding): Buffer {
  const info = ['latchkey idempotency v1', idempotencyKey, principalId, route, target].join('\0');
  return Buffer.from(hkdfSync('sha256', pepper, Buffer.alloc(0), Buffer.from(info, 'utf8'), 32));
}
