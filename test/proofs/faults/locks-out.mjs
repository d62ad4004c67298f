/** A key is refused for good after a hundred wrong secrets under its kid. */
import { SecretProver } from '../../../dist/src/verification/secret-prover.js';

const { proveOwn } = SecretProver.prototype;
const wrong = new Map();

SecretProver.prototype.prove = ((prove) =>
  function proveUnlessLocked(presented, nowMs) {
    const kid = presented.split('_')[2]?.slice(0, 14) ?? '';
    return (wrong.get(kid) ?? 0) > 100 ? 'NOT_FOUND' : prove.call(this, presented, nowMs);
  })(SecretProver.prototype.prove);

SecretProver.prototype.proveOwn = function countWrong(parsed, digest, nowMs) {
  const proof = proveOwn.call(this, parsed, digest, nowMs);
  if (proof === 'NOT_FOUND') wrong.set(parsed.kid, (wrong.get(parsed.kid) ?? 0) + 1);
  return proof;
};
