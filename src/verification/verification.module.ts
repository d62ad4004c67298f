import { Global, Module } from '@nestjs/common';
import { KeyAuthenticator } from '../access/authenticator.js';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { UsersModule } from '../users/users.module.js';
import { ChangePropagation } from '../audit/change-propagation.js';
import { Clock } from '../common/clock.js';
import { Denylist } from './denylist/denylist.js';
import { DenylistFile } from './denylist/denylist-file.js';
import { ExplainController } from './explain/explain.controller.js';
import { FailoverService } from './failover/failover.service.js';
import { HistoryRepository } from './failover/history.repository.js';
import { LostChanges } from './failover/lost-changes.service.js';
import { FeedService } from './feed/feed.service.js';
import { ImportedReader } from './records/imported-reader.js';
import { KeyExplainer } from './explain/key-explainer.js';
import { KeyInspector } from './key-inspector.js';
import { KeyRecognizer } from './key-recognizer.js';
import { KeyRecordsRepository } from './records/key-records.repository.js';
import { LastUsed } from './last-used/last-used.js';
import { LastUsedWriter } from './last-used/last-used.writer.js';
import { QuotaGate } from './quota-gate.js';
import { RecordCache } from './records/record-cache.js';
import { RecordLoader } from './records/record-loader.js';
import { ReplicaConnections } from './replica-connections.js';
import { ReplicasController } from './replicas/replicas.controller.js';
import { ReplicasRepository } from './replicas/replicas.repository.js';
import { ReplicasService } from './replicas/replicas.service.js';
import { SecretProver } from './secret-prover.js';
import { ServiceKeyAuthenticator } from './service-key.authenticator.js';
import { VerificationMeters } from './verification-meters.js';
import { Verifier } from './verifier.js';
import { VerifyController } from './verify.controller.js';

/** The cores know no framework: what they need of the outside is given to them here. */
const cores = [
  { provide: RecordCache, useFactory: () => new RecordCache() },
  {
    provide: RecordLoader,
    inject: [RecordCache, KeyRecordsRepository, Clock],
    useFactory: (cache: RecordCache, records: KeyRecordsRepository, clock: Clock) =>
      new RecordLoader(cache, {
        monotonicMs: () => clock.monotonicMs(),
        soon: setImmediate,
        fetch: (wanted, timeoutMs) => records.load(wanted, timeoutMs),
      }),
  },
  { provide: Denylist, useFactory: () => new Denylist() },
  { provide: LastUsed, useFactory: () => new LastUsed() },
];

/** The data plane: from a presented string to a verdict, out of memory that the change feed keeps true. */
@Global()
@Module({
  imports: [ApiKeysModule, UsageModule, UsersModule],
  controllers: [VerifyController, ExplainController, ReplicasController],
  providers: [
    ...cores,
    Verifier,
    QuotaGate,
    KeyExplainer,
    KeyInspector,
    KeyRecognizer,
    SecretProver,
    ImportedReader,
    KeyRecordsRepository,
    ReplicaConnections,
    FeedService,
    HistoryRepository,
    LostChanges,
    FailoverService,
    ReplicasRepository,
    ReplicasService,
    DenylistFile,
    LastUsedWriter,
    VerificationMeters,
    { provide: KeyAuthenticator, useClass: ServiceKeyAuthenticator },
    { provide: ChangePropagation, useExisting: ReplicasService },
  ],
  exports: [KeyAuthenticator, ChangePropagation, FailoverService, FeedService, KeyInspector, ReplicasService, Verifier],
})
export class VerificationModule {}
