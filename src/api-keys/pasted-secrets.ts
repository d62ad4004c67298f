import { Injectable } from '@nestjs/common';
import type { FieldError } from '../common/domain-error.js';
import { hideSecrets } from '../common/secret-shape.js';
import { Config } from '../config/config.js';
import { parse, secretLength, secretPattern, tagMatches } from './secret.js';

const SENTENCE = 'must not contain an API key, because this text is kept and shown: remove it, and regenerate that key';
const NAME_SENTENCE = 'must have no member whose name contains an API key: remove it, and regenerate that key';

/** An answer names this many places. */
const MAX_PLACES = 10;

/**
 * Finds secrets made here in text that is to be kept: a description, a reason, a tag. A secret is recognised by its
 * tag, whatever stands around it, so other random text is not taken for one. Nothing of it is repeated.
 */
@Injectable()
export class PastedSecrets {
  private readonly pattern: RegExp;
  private readonly length: number;

  constructor(private readonly config: Config) {
    this.pattern = new RegExp(secretPattern(config.apiKeyPrefix).source, 'g');
    this.length = secretLength(config.apiKeyPrefix);
  }

  /** Whether the text contains a secret with a valid tag. */
  isIn(text: string): boolean {
    if (text.length < this.length) return false;
    return (text.match(this.pattern) ?? []).some((found) => {
      const parsed = parse(found, this.config.apiKeyPrefix);
      return parsed !== null && tagMatches(parsed, this.config.tagKeys);
    });
  }

  /** Every place of a JSON value that contains one. `except` names members of the value that are left out. */
  findIn(value: unknown, except: readonly string[] = []): FieldError[] {
    const found: FieldError[] = [];
    this.collect(value, '', except, found);
    return found.slice(0, MAX_PLACES);
  }

  private collect(value: unknown, path: string, except: readonly string[], found: FieldError[]): void {
    if (typeof value === 'string') {
      if (this.isIn(value)) found.push({ path: path || 'body', message: SENTENCE });
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    for (const [name, member] of Object.entries(value)) {
      if (except.includes(name)) continue;
      if (this.isIn(name)) found.push({ path: path || 'body', message: NAME_SENTENCE });
      this.collect(member, path === '' ? hideSecrets(name) : `${path}.${hideSecrets(name)}`, [], found);
    }
  }
}
