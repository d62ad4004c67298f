import { Module } from '@nestjs/common';
import { ApiKeyListingService } from './api-key-listing.service.js';
import { ApiKeyListsController } from './api-key-lists.controller.js';
import { ApiKeyListsRepository } from './api-key-lists.repository.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { ChangeAdmission } from './change-admission.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { KeyOffBoarding } from './key-off-boarding.service.js';
import { KeyAdmission } from './key-admission.js';
import { KeyBatchesController } from './key-batches.controller.js';
import { KeyBulkService } from './key-bulk.service.js';
import { KeyImportService } from './key-import.service.js';
import { KeyByAliasController } from './key-by-alias.controller.js';
import { KeyByAliasService } from './key-by-alias.service.js';
import { KeyChanges } from './key-changes.js';
import { KeyCreation } from './key-creation.js';
import { KeyLifecycleController } from './key-lifecycle.controller.js';
import { KeyRemovalService } from './key-removal.service.js';
import { KeySecretsController } from './key-secrets.controller.js';
import { KeySecretsService } from './key-secrets.service.js';
import { KeyTransferService } from './key-transfer.service.js';
import { KeyUpdateService } from './key-update.service.js';
import { SecretMint } from './secret-mint.js';
import { SecretReplay } from './secret-replay.js';
import { SelfRevokeController } from './self-revoke.controller.js';
import { SelfRevokeService } from './self-revoke.service.js';

/** The keys themselves: the management plane. */
@Module({
  imports: [IdempotencyModule],
  controllers: [ApiKeyListsController, KeyBatchesController, ApiKeysController, KeyLifecycleController, KeySecretsController, KeyByAliasController, SelfRevokeController],
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
    KeyChanges,
    KeyCreation,
    KeyAdmission,
    ChangeAdmission,
    SecretMint,
    SecretReplay,
  ],
  // The repository for OwnerOrGuard, which other modules put on their routes about one key.
  exports: [ApiKeysService, KeyOffBoarding, ApiKeysRepository],
})
export class ApiKeysModule {}
