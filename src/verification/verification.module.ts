import { Global, Module } from '@nestjs/common';
import { KeyAuthenticator } from '../access/authenticator.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { Config } from '../config/config.js';
import { ReplicasService } from '../replicas/replicas.service.js';
import { UsageModule } from '../usage/usage.module.js';
import { ExplainController } from './explain/explain.controller.js';
import { KeyExplainer } from './explain/key-explainer.js';
import { KeyInspector } from './key-inspector.js';
import { KeyResolver } from './key-resolver.js';
import { LimitsModule } from '../limits/limits.module.js';
import { KnownLimits } from './known-limits.js';
import { LastUsed } from './last-used/last-used.js';
import { LastUsedWriter } from './last-used/last-used.writer.js';
import { QuotaGate } from './quota-gate.js';
import { RefusedCallHousekeeping } from './refusals/refused-call-housekeeping.js';
import { RefusedCallWriter } from './refusals/refused-call-writer.js';
import { RefusedCalls } from './refusals/refused-calls.js';
import { RefusedCallsController } from './refusals/refused-calls.controller.js';
import { RefusedCallsRepository } from './refusals/refused-calls.repository.js';
import { RefusedCallsService } from './refusals/refused-calls.service.js';
import { SecretAuthenticator } from './secret-authenticator.js';
import { ServiceKeyAuthenticator } from './service-key.authenticator.js';
import { VerificationMetrics } from './verification-metrics.js';
import { Verifier } from './verifier.js';
import { VerifyController } from './verify.controller.js';

/** The data plane: from a presented string to a verdict, out of memory that the change feed keeps true. */
@Global()
@Module({
  imports: [ApiKeysModule, LimitsModule, UsageModule],
  controllers: [VerifyController, ExplainController, RefusedCallsController],
  providers: [
    { provide: LastUsed, useFactory: () => new LastUsed() },
    {
      provide: RefusedCalls,
      useFactory: (config: Config, replicas: ReplicasService) =>
        new RefusedCalls(config.refusedCalls !== 'off', () => replicas.liveCount),
      inject: [Config, ReplicasService],
    },
    RefusedCallWriter,
    RefusedCallHousekeeping,
    RefusedCallsRepository,
    RefusedCallsService,
    Verifier,
    QuotaGate,
    KnownLimits,
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
