import { Module } from '@nestjs/common';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { KeyOffBoarding } from './key-off-boarding.service.js';
import { KeyAdmission } from './key-admission.js';
import { SecretMint } from './secret-mint.js';

/** The keys themselves: the management plane. */
@Module({
  controllers: [ApiKeysController],
  providers: [ApiKeysService, KeyOffBoarding, ApiKeysRepository, KeyAdmission, SecretMint],
  exports: [ApiKeysService, KeyOffBoarding],
})
export class ApiKeysModule {}
