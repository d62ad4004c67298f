import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

/** What a sealed answer is bound to: it opens for exactly this request and nothing else. */
export interface AnswerBinding {
  /** As the client sent it; only its hash is stored, so the stored row alone opens nothing even for who has the pepper. */
  readonly idempotencyKey: string;
  readonly principalId: string;
  readonly route: string;
  readonly target: string;
  readonly payloadHash: Buffer;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * AES-256-GCM under a key of its own: HKDF-SHA-256(pepper, Idempotency-Key ‖ principal ‖ route ‖ target).
 * The result is nonce, ciphertext and tag.
 */
export function seal(pepper: Buffer, binding: AnswerBinding, text: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', sealingKey(pepper, binding), nonce).setAAD(binding.payloadHash);
  return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

/** The text, or null when it was sealed for another request or has been altered. */
export function unseal(pepper: Buffer, binding: AnswerBinding, sealed: Buffer): string | null {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv('aes-256-gcm', sealingKey(pepper, binding), sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(binding.payloadHash).setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return null;
  }
}

/** NUL cannot be part of any of the texts, so no two bindings give one key. */
function sealingKey(pepper: Buffer, { idempotencyKey, principalId, route, target }: AnswerBinding): Buffer {
  const info = ['latchkey idempotency v1', idempotencyKey, principalId, route, target].join('\0');
  return Buffer.from(hkdfSync('sha256', pepper, Buffer.alloc(0), Buffer.from(info, 'utf8'), 32));
}
