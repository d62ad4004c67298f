import { Module } from '@nestjs/common';
import { ApiKeyListingService } from './api-key-listing.service.js';
import { ApiKeyListsController } from './api-key-lists.controller.js';
import { ApiKeyListsRepository } from './api-key-lists.repository.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { KeyAdmission } from './key-admission.js';
import { SecretMint } from './secret-mint.js';

/** The keys themselves: the management plane. */
@Module({
  controllers: [ApiKeyListsController, ApiKeysController],
  providers: [ApiKeysService, ApiKeysRepository, ApiKeyListingService, ApiKeyListsRepository, KeyAdmission, SecretMint],
  exports: [ApiKeysService],
})
export class ApiKeysModule {}
