import { Global, Module } from '@nestjs/common';
import { KeyAuthenticator } from '../access/authenticator.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { ExplainController } from './explain/explain.controller.js';
import { KeyExplainer } from './explain/key-explainer.js';
import { KeyInspector } from './key-inspector.js';
import { KeyResolver } from './key-resolver.js';
import { LastUsed } from './last-used/last-used.js';
import { LastUsedWriter } from './last-used/last-used.writer.js';
import { QuotaGate } from './quota-gate.js';
import { SecretAuthenticator } from './secret-authenticator.js';
import { ServiceKeyAuthenticator } from './service-key.authenticator.js';
import { VerificationMetrics } from './verification-metrics.js';
import { Verifier } from './verifier.js';
import { VerifyController } from './verify.controller.js';

/** The data plane: from a presented string to a verdict, out of memory that the change feed keeps true. */
@Global()
@Module({
  imports: [ApiKeysModule, UsageModule],
  controllers: [VerifyController, ExplainController],
  providers: [
    { provide: LastUsed, useFactory: () => new LastUsed() },
    Verifier,
    QuotaGate,
    KeyExplainer,
    KeyInspector,
    KeyResolver,
    SecretAuthenticator,
    LastUsedWriter,
    VerificationMetrics,
    { provide: KeyAuthenticator, useClass: ServiceKeyAuthenticator },
  ],
  exports: [KeyAuthenticator, KeyInspector, Verifier],
})
export class VerificationModule {}
