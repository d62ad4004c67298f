/** Every text that was presented as a key is remembered. */
import { SecretProver } from '../../../dist/src/verification/secret-prover.js';

const { prove } = SecretProver.prototype;
const presented = new Set();

SecretProver.prototype.prove = function proveAndRemember(text, ...others) {
  presented.add(text);
  return prove.call(this, text, ...others);
};
