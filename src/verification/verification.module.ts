import { Global, Module } from '@nestjs/common';
import { KeyAuthenticator } from '../access/authenticator.js';
import { UsageModule } from '../usage/usage.module.js';
import { KeyRecordsRepository } from './key-records.repository.js';
import { SecretProver } from './secret-prover.js';
import { ServiceKeyAuthenticator } from './service-key.authenticator.js';
import { Verifier } from './verifier.js';
import { VerifyController } from './verify.controller.js';

/** The data plane: from a presented string to a verdict. */
@Global()
@Module({
  imports: [UsageModule],
  controllers: [VerifyController],
  providers: [Verifier, SecretProver, KeyRecordsRepository, { provide: KeyAuthenticator, useClass: ServiceKeyAuthenticator }],
  exports: [KeyAuthenticator],
})
export class VerificationModule {}
