import { ApiKeyView } from '../api-key.view.js';

/** A key that has ended for good. */
export class RevokedApiKeyView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  revoked: true;

  revokedAt: Date;

  /**
   * By when, in milliseconds from now, every replica refuses the key when nothing is broken.
   * @example 0
   */
  effectiveWithinMs: number;
}

/** A key with a new secret: the only answer that ever shows it. */
export class RegeneratedApiKeyView {
  apiKey: ApiKeyView;

  /**
   * What clients present from now on. Keep it now: it cannot be shown again.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  secretKey: string;

  /** When the secret before this one ends: the end of the overlap, or the instant of this change. */
  previousSecretExpiresAt: Date | null;
}

/** What became of an alias: a new key with its secret, or the key it had before, renewed. */
export class UpsertedApiKeyView {
  apiKey: ApiKeyView;

  /**
   * Only with a new key.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  secretKey?: string;

  /**
   * Whether the alias was known: then its secret stays as it is and is not shown.
   * @example false
   */
  renewed: boolean;
}

/** The same for every input, so that nobody learns whether a text is a key. */
export class SelfRevokeView {
  /** If the text was the secret of a key, it does not work any more. */
  accepted: true;
}
