import { Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { importedBinding } from '../access/credential-binding.js';
import { Config } from '../config/config.js';
import type { StoredSecret } from './key-inserts.js';
import type { Environment } from './api-key.entity.js';
import { type Secret, importedMacOf, macOf, mint, signing } from './secret.js';

/** A secret just made: the string for its owner, and the row that remembers it. */
export interface FreshSecret {
  readonly secret: Secret;
  readonly stored: StoredSecret;
}

/** A secret of another system: nobody here has ever seen it. */
export interface ForeignSecret {
  /** SHA-256 of the whole string that clients present. */
  readonly sha256: Buffer;
  /** Its public start. */
  readonly prefix: string;
}

/** Draws secrets under the configured prefix, tag key and pepper. */
@Injectable()
export class SecretFactory {
  constructor(private readonly config: Config) {}

  /** A new secret for the key `keyId`. */
  generate(keyId: string, environment: Environment): FreshSecret {
    const minted = mint({ prefix: this.config.apiKeyPrefix, environment, tagKeys: this.config.tagKeys, randomBytes });
    const pepper = signing(this.config.peppers);
    return {
      secret: minted.secret,
      stored: {
        kid: minted.kid,
        keyId,
        kind: 'own',
        keyPrefix: minted.keyPrefix,
        mac: macOf(pepper.key, keyId, minted),
        pepperVersion: String(pepper.version),
        tagVersion: String(signing(this.config.tagKeys).version),
        binding: null,
      },
    };
  }

  /**
   * What is stored of another system's secret for the key `keyId`. Its kid is drawn: it names the secret and is no part
   * of it.
   */
  import(keyId: string, { sha256, prefix }: ForeignSecret): StoredSecret {
    const { kid } = mint({
      prefix: this.config.apiKeyPrefix,
      environment: 'live',
      tagKeys: this.config.tagKeys,
      randomBytes,
    });
    const pepper = signing(this.config.peppers);
    const mac = importedMacOf(pepper.key, sha256);
    const binding = importedBinding(pepper.key, keyId, kid, mac);
    return {
      kid,
      keyId,
      kind: 'imported',
      keyPrefix: prefix,
      mac,
      pepperVersion: String(pepper.version),
      tagVersion: null,
      binding,
    };
  }
}
