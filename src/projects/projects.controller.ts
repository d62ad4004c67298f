import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { Tagged, Versioned } from '../audit/versioned.js';
import { Compressed } from '../common/compressed.js';
import { PageQueryDto } from '../common/page-query.dto.js';
import { CreateProjectDto, UpdateProjectDto } from './project.dto.js';
import { ProjectIdPipe } from './project-id.pipe.js';
import { ProjectsPageView, ProjectView } from './project.view.js';
import { ProjectsService } from './projects.service.js';

/** Projects: keys that belong together, of any owners. */
@ApiTags('Projects')
@Controller('projects')
export class ProjectsController {
  constructor(private readonly projects: ProjectsService) {}

  @Get()
  @Compressed()
  @RequirePermission('platform:projects:read')
  @Audited('projects:read', 'project')
  @ApiOperation({ summary: 'List projects', description: 'In order of name.' })
  list(@Query() query: PageQueryDto): Promise<ProjectsPageView> {
    return this.projects.list(query);
  }

  @Post()
  @Tagged('project')
  @RequirePermission('platform:projects:create')
  @Audited('projects:create', 'project')
  @ApiOperation({
    summary: 'Add a project',
    description: 'Keys get into it by `projectId` when they are created or imported, and by a transfer.',
  })
  create(@FromCaller() caller: KnownCaller, @Body() body: CreateProjectDto): Promise<ProjectView> {
    return this.projects.create(caller, body);
  }

  @Get(':id')
  @Tagged('project')
  @RequirePermission('platform:projects:read')
  @Audited('projects:read', 'project')
  @ApiOperation({ summary: 'Read a project', description: 'Its keys are `GET /api-keys?projectId=`.' })
  get(@Param('id', ProjectIdPipe) id: string): Promise<ProjectView> {
    return this.projects.get(id);
  }

  @Patch(':id')
  @Versioned('project')
  @RequirePermission('platform:projects:update')
  @Audited('projects:update', 'project')
  @ApiOperation({ summary: 'Change a project', description: 'Absent fields stay.' })
  update(
    @FromCaller() caller: KnownCaller,
    @Param('id', ProjectIdPipe) id: string,
    @Body() body: UpdateProjectDto,
  ): Promise<ProjectView> {
    return this.projects.update(caller, id, body);
  }

  @Delete(':id')
  @Versioned('project')
  @HttpCode(204)
  @RequirePermission('platform:projects:delete')
  @Audited('projects:delete', 'project')
  @ApiOperation({
    summary: 'Delete a project',
    description: 'Refused while keys that are not revoked are in it. Revoked keys keep its id.',
  })
  delete(@FromCaller() caller: KnownCaller, @Param('id', ProjectIdPipe) id: string): Promise<void> {
    return this.projects.delete(caller, id);
  }
}
