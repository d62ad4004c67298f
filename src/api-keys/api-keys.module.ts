import { Module } from '@nestjs/common';
import { ApiKeyListingService } from './lists/api-key-listing.service.js';
import { ApiKeyListsController } from './lists/api-key-lists.controller.js';
import { ApiKeyListsRepository } from './lists/api-key-lists.repository.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { ChangeAdmission } from './changes/change-admission.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { KeyEndings } from './lifecycle/key-endings.service.js';
import { KeyOffBoarding } from './lifecycle/key-off-boarding.service.js';
import { KeyAdmission } from './changes/key-admission.js';
import { KeyBatchesController } from './batches/key-batches.controller.js';
import { KeyBulkService } from './batches/key-bulk.service.js';
import { KeyImportService } from './batches/key-import.service.js';
import { KeyByAliasController } from './by-alias/key-by-alias.controller.js';
import { KeyByAliasService } from './by-alias/key-by-alias.service.js';
import { KeyChanges } from './changes/key-changes.js';
import { DailyCreations } from './changes/daily-creations.js';
import { KeyCreation } from './changes/key-creation.js';
import { KeyLifecycleController } from './lifecycle/key-lifecycle.controller.js';
import { KeyRemovalService } from './lifecycle/key-removal.service.js';
import { KeySecretsController } from './secrets/key-secrets.controller.js';
import { KeySecretsService } from './secrets/key-secrets.service.js';
import { KeyTransferService } from './lifecycle/key-transfer.service.js';
import { KeyUpdateService } from './lifecycle/key-update.service.js';
import { KeyOwners } from './key-owners.js';
import { PastedSecrets } from './pasted-secrets.js';
import { SecretMint } from './secret-mint.js';
import { SecretReplay } from './secrets/secret-replay.js';
import { SelfRevokeController } from './lifecycle/self-revoke.controller.js';
import { SelfRevokeService } from './lifecycle/self-revoke.service.js';

/** The keys themselves: the management plane. */
@Module({
  imports: [IdempotencyModule],
  controllers: [
    ApiKeyListsController,
    KeyBatchesController,
    ApiKeysController,
    KeyLifecycleController,
    KeySecretsController,
    KeyByAliasController,
    SelfRevokeController,
  ],
  providers: [
    ApiKeysRepository,
    ApiKeyListingService,
    ApiKeyListsRepository,
    ApiKeysService,
    KeyImportService,
    KeyBulkService,
    KeyUpdateService,
    KeyRemovalService,
    KeyTransferService,
    KeyOffBoarding,
    KeySecretsService,
    KeyByAliasService,
    SelfRevokeService,
    KeyEndings,
    KeyOwners,
    PastedSecrets,
    KeyChanges,
    DailyCreations,
    KeyCreation,
    KeyAdmission,
    ChangeAdmission,
    SecretMint,
    SecretReplay,
  ],
  // The repository for OwnerOrGuard, which other modules put on their routes about one key.
  exports: [ApiKeysService, KeyEndings, KeyOffBoarding, KeyOwners, PastedSecrets, ApiKeysRepository],
})
export class ApiKeysModule {}
