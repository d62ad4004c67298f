import { Module } from '@nestjs/common';
import { ApiKeyListingService } from './lists/api-key-listing.service.js';
import { ApiKeyListsController } from './lists/api-key-lists.controller.js';
import { ApiKeyListsRepository } from './lists/api-key-lists.repository.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { KeyChangeRules } from './change/key-change-rules.js';
import { ProjectsModule } from '../projects/projects.module.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { HandOverController } from './hand-over/hand-over.controller.js';
import { HandOverService } from './hand-over/hand-over.service.js';
import { HandOverSweep } from './hand-over/hand-over-sweep.js';
import { KeyEndings } from './change/key-endings.service.js';
import { KeyOffBoarding } from './change/key-off-boarding.service.js';
import { KeyCreationRules } from './create/key-creation-rules.js';
import { KeyBatchesController } from './bulk/key-batches.controller.js';
import { KeyBulkService } from './bulk/key-bulk.service.js';
import { KeyImportService } from './bulk/key-import.service.js';
import { KeyByAliasController } from './by-alias/key-by-alias.controller.js';
import { KeyByAliasService } from './by-alias/key-by-alias.service.js';
import { KeyChanges } from './change/key-changes.js';
import { DailyCreations } from './create/daily-creations.js';
import { KeyCreation } from './create/key-creation.js';
import { KeyLifecycleController } from './change/key-lifecycle.controller.js';
import { KeyRemovalService } from './change/key-removal.service.js';
import { KeySecretsController } from './secrets/key-secrets.controller.js';
import { KeySecretsService } from './secrets/key-secrets.service.js';
import { ProjectDeletion } from './projects/project-deletion.service.js';
import { ProjectDeletionController } from './projects/project-deletion.controller.js';
import { KeyTransferService } from './change/key-transfer.service.js';
import { KeyUpdateService } from './change/key-update.service.js';
import { KeyOwners } from './key-owners.js';
import { PastedSecrets } from './pasted-secrets.js';
import { SecretFactory } from './secret-factory.js';
import { SecretReplay } from './secrets/secret-replay.js';
import { SelfRevokeController } from './change/self-revoke.controller.js';
import { SelfRevokeService } from './change/self-revoke.service.js';

/** The keys themselves: the management plane. */
@Module({
  imports: [IdempotencyModule, ProjectsModule],
  controllers: [
    ApiKeyListsController,
    KeyBatchesController,
    ApiKeysController,
    KeyLifecycleController,
    KeySecretsController,
    HandOverController,
    KeyByAliasController,
    SelfRevokeController,
    ProjectDeletionController,
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
    HandOverService,
    HandOverSweep,
    KeyByAliasService,
    SelfRevokeService,
    KeyEndings,
    KeyOwners,
    PastedSecrets,
    KeyChanges,
    DailyCreations,
    KeyCreation,
    KeyCreationRules,
    KeyChangeRules,
    SecretFactory,
    SecretReplay,
    ProjectDeletion,
  ],
  // The repository for OwnerOrGuard, which other modules put on their routes about one key.
  exports: [ApiKeysService, KeyEndings, KeyOffBoarding, KeyOwners, PastedSecrets, ApiKeysRepository],
})
export class ApiKeysModule {}
