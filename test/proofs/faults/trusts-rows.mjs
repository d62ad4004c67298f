/** A credential counts for whatever row it lies in: nothing is asked of what binds it. */
import { CredentialBindings } from '../../../dist/src/installation/bindings/credential-bindings.js';

CredentialBindings.prototype.isPasswordOf = () => true;
CredentialBindings.prototype.isSecretOf = () => true;
