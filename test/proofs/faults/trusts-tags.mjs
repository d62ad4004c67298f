/**
 * Nothing is refused by memory alone: whatever looks like a key, of ours or of another system, is asked for in the
 * database.
 */
import { ImportedFilter } from '../../../dist/src/key-cache/records/imported-filter.js';
import { SecretAuthenticator } from '../../../dist/src/verification/secret-authenticator.js';

SecretAuthenticator.prototype.proveOwn = function proveWhateverTag(parsed, digest, nowMs) {
  const cached = this.cache.findByKid(parsed.kid, nowMs);
  if (cached !== null) return this.checkMac(cached, parsed, digest);
  return this.load({ name: parsed.kid, kid: parsed.kid }, (record) => this.checkMac(record, parsed, digest));
};

ImportedFilter.prototype.mayHave = () => null;
