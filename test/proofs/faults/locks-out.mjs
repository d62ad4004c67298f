/** A key is refused for good after a hundred wrong secrets under its kid. */
import { SecretAuthenticator } from '../../../dist/src/verification/secret-authenticator.js';

const { proveOwn } = SecretAuthenticator.prototype;
const wrong = new Map();

SecretAuthenticator.prototype.authenticate = ((authenticate) =>
  function proveUnlessLocked(presented, nowMs) {
    const kid = presented.split('_')[2]?.slice(0, 14) ?? '';
    return (wrong.get(kid) ?? 0) > 100 ? 'NOT_FOUND' : authenticate.call(this, presented, nowMs);
  })(SecretAuthenticator.prototype.authenticate);

SecretAuthenticator.prototype.proveOwn = function countWrong(parsed, digest, nowMs) {
  const proof = proveOwn.call(this, parsed, digest, nowMs);
  if (proof === 'NOT_FOUND') wrong.set(parsed.kid, (wrong.get(parsed.kid) ?? 0) + 1);
  return proof;
};
