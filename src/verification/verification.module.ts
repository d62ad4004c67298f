import { Global, Module } from '@nestjs/common';
import { KeyAuthenticator } from '../access/authenticator.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { ExplainController } from './explain.controller.js';
import { KeyExplainer } from './key-explainer.js';
import { KeyRecordsRepository } from './key-records.repository.js';
import { SecretProver } from './secret-prover.js';
import { ServiceKeyAuthenticator } from './service-key.authenticator.js';
import { Verifier } from './verifier.js';
import { VerifyController } from './verify.controller.js';

/** The data plane: from a presented string to a verdict. */
@Global()
@Module({
  imports: [ApiKeysModule],
  controllers: [VerifyController, ExplainController],
  providers: [Verifier, KeyExplainer, SecretProver, KeyRecordsRepository, { provide: KeyAuthenticator, useClass: ServiceKeyAuthenticator }],
  exports: [KeyAuthenticator],
})
export class VerificationModule {}
