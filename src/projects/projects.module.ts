import { Module } from '@nestjs/common';
import { ProjectGuard } from './project.guard.js';
import { ProjectMembers } from './project-members.service.js';
import { ProjectsController } from './projects.controller.js';
import { ProjectsRepository } from './projects.repository.js';
import { ProjectsService } from './projects.service.js';

/** Projects: keys that belong together, of any owners, and who works with them. */
@Module({
  controllers: [ProjectsController],
  providers: [ProjectsService, ProjectMembers, ProjectGuard, ProjectsRepository],
  // The guard for routes of other modules about one project.
  exports: [ProjectsService, ProjectMembers, ProjectGuard],
})
export class ProjectsModule {}
