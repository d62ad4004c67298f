import { Module } from '@nestjs/common';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { KeyAdmission } from './key-admission.js';
import { SecretMint } from './secret-mint.js';

/** The keys themselves: the management plane. */
@Module({
  controllers: [ApiKeysController],
  providers: [ApiKeysService, ApiKeysRepository, KeyAdmission, SecretMint],
  exports: [ApiKeysService],
})
export class ApiKeysModule {}
