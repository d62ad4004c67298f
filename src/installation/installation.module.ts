import { Global, Module } from '@nestjs/common';
import { CredentialBindings } from './bindings/credential-bindings.js';
import { Installation } from './installation.js';
import { SecretWatch } from './secret-watch.js';

/** Which installation this is, which secrets it has, and what binds stored credentials to them. */
@Global()
@Module({ providers: [Installation, SecretWatch, CredentialBindings], exports: [Installation, CredentialBindings] })
export class InstallationModule {}
