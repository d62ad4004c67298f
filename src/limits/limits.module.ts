import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { IdempotencyModule } from '../api-keys/idempotency/idempotency.module.js';
import { ProjectsModule } from '../projects/projects.module.js';
import { KeyLimitsController, OwnerLimitsController, ProjectLimitsController } from './bound-limits.controller.js';
import { BoundLimitsRepository } from './bound-limits.repository.js';
import { BoundLimits } from './bound-limits.service.js';
import { LimitAccountsController } from './limit-accounts.controller.js';
import { LimitAccountsRepository } from './limit-accounts.repository.js';
import { LimitChangeRights } from './limit-change-rights.js';
import { LimitDryRuns } from './limit-dry-runs.service.js';
import { LimitExportsController } from './limit-exports.controller.js';
import { LimitOverrides } from './limit-overrides.service.js';
import { LimitPlacement } from './limit-placement.js';
import { LimitViewers } from './limit-viewers.js';
import { LimitsController } from './limits.controller.js';
import { LimitUsageWatch } from './limit-usage-watch.js';
import { LimitsReader } from './limits-reader.service.js';
import { LimitsRepository } from './limits.repository.js';
import { LimitsService } from './limits.service.js';
import { SubjectErasure } from './subjects/subject-erasure.service.js';
import { SubjectsController } from './subjects/subjects.controller.js';
import { SubjectsRepository } from './subjects/subjects.repository.js';

/** Limits that several calls share: their rules, and what their accounts tell. Quotas enforce them. */
@Module({
  imports: [ApiKeysModule, IdempotencyModule, ProjectsModule],
  controllers: [
    LimitExportsController,
    LimitsController,
    LimitAccountsController,
    KeyLimitsController,
    OwnerLimitsController,
    ProjectLimitsController,
    SubjectsController,
  ],
  providers: [
    LimitsService,
    LimitsReader,
    LimitPlacement,
    LimitViewers,
    LimitChangeRights,
    LimitDryRuns,
    LimitOverrides,
    BoundLimits,
    LimitsRepository,
    LimitAccountsRepository,
    BoundLimitsRepository,
    LimitUsageWatch,
    SubjectErasure,
    SubjectsRepository,
  ],
  exports: [LimitViewers],
})
export class LimitsModule {}
