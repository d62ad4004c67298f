/** Every text that was presented as a key is remembered. */
import { SecretAuthenticator } from '../../../dist/src/verification/secret-authenticator.js';

const { authenticate } = SecretAuthenticator.prototype;
const presented = new Set();

SecretAuthenticator.prototype.authenticate = function proveAndRemember(text, ...others) {
  presented.add(text);
  return authenticate.call(this, text, ...others);
};
