import { Body, Controller, Delete, Get, Param, Patch, Post, Put, Query, Res, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, MemberOr, RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { Tagged, Versioned } from '../audit/versioned.js';
import { WaitsForReplicas } from '../audit/waits-for-replicas.js';
import { Compressed } from '../common/compressed.js';
import {
  CreateProjectDto,
  ListProjectsDto,
  SetProjectMemberDto,
  UpdateProjectDto,
  UpsertProjectDto,
} from './project.dto.js';
import { ProjectAliasPipe, ProjectIdPipe, ProjectMemberIdPipe } from './project-id.pipe.js';
import { ProjectGuard } from './project.guard.js';
import { ProjectMembers } from './project-members.service.js';
import { ProjectsPageView, ProjectView, RemovedProjectMemberView } from './project.view.js';
import { ProjectsService } from './projects.service.js';

/** Projects: keys that belong together, of any owners. */
@ApiTags('Projects')
@Controller('projects')
@UseGuards(ProjectGuard)
export class ProjectsController {
  constructor(
    private readonly projects: ProjectsService,
    private readonly members: ProjectMembers,
  ) {}

  @Get()
  @Compressed()
  @MemberOr('platform:projects:read', 'member')
  @Audited('projects:read', 'project')
  @ApiOperation({
    summary: 'List projects',
    description: 'In order of name. Without the permission those of which you are a member.',
  })
  list(@FromCaller() caller: KnownCaller, @Query() query: ListProjectsDto): Promise<ProjectsPageView> {
    return this.projects.list(caller, query);
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

  @Get('by-alias/:alias')
  @Tagged('project')
  @MemberOr('platform:projects:read', 'member')
  @Audited('projects:read', 'project')
  @ApiOperation({ summary: 'Read the project of an alias' })
  getByAlias(@FromCaller() caller: KnownCaller, @Param('alias', ProjectAliasPipe) alias: string): Promise<ProjectView> {
    return this.projects.getByAlias(caller, alias);
  }

  @Put('by-alias/:alias')
  @Versioned('project')
  @WaitsForReplicas()
  @RequirePermission('platform:projects:update', 'platform:projects:create')
  @Audited('projects:update', 'project')
  @ApiOperation({
    summary: 'Create or change the project of an alias',
    description: 'An unknown alias creates a project; of a known one the fields that are given are changed.',
  })
  @ApiResponse({ status: 201, description: 'Created.', type: ProjectView })
  @ApiOkResponse({ description: 'Changed, or as it was.', type: ProjectView })
  async put(
    @FromCaller() caller: KnownCaller,
    @Param('alias', ProjectAliasPipe) alias: string,
    @Body() body: UpsertProjectDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectView> {
    const { isNew, view } = await this.projects.put(caller, alias, body);
    void reply.status(isNew ? 201 : 200);
    return view;
  }

  @Get(':id')
  @Tagged('project')
  @MemberOr('platform:projects:read', 'member')
  @Audited('projects:read', 'project')
  @ApiOperation({ summary: 'Read a project', description: 'Its keys are `GET /api-keys?projectId=`.' })
  get(@FromCaller() caller: KnownCaller, @Param('id', ProjectIdPipe) id: string): Promise<ProjectView> {
    return this.projects.get(caller, id);
  }

  @Patch(':id')
  @Versioned('project')
  @WaitsForReplicas()
  @RequirePermission('platform:projects:update')
  @Audited('projects:update', 'project')
  @ApiOperation({
    summary: 'Change a project',
    description: 'Absent fields stay. With `isActive: false` every key in it is refused as `PROJECT_INACTIVE`.',
  })
  update(
    @FromCaller() caller: KnownCaller,
    @Param('id', ProjectIdPipe) id: string,
    @Body() body: UpdateProjectDto,
  ): Promise<ProjectView> {
    return this.projects.update(caller, id, body);
  }

  @Put(':id/members/:userId')
  @Versioned('project')
  @MemberOr('platform:projects:update', 'admin')
  @Audited('projects:update', 'project')
  @ApiOperation({
    summary: 'Add a member to a project, or change what a member may do',
    description:
      'A caller who is not an admin of the project must hold what the role gives: `platform:api-keys:read` and `platform:api-keys:assign`, ' +
      'for an `admin` also `platform:api-keys:update` and `platform:api-keys:delete`.',
  })
  setMember(
    @FromCaller() caller: KnownCaller,
    @Param('id', ProjectIdPipe) id: string,
    @Param('userId', ProjectMemberIdPipe) userId: string,
    @Body() body: SetProjectMemberDto,
  ): Promise<ProjectView> {
    return this.members.set(caller, id, userId, body.role);
  }

  @Delete(':id/members/:userId')
  @Versioned('project')
  @MemberOr('platform:projects:update', 'member')
  @Audited('projects:update', 'project')
  @ApiOperation({
    summary: 'Remove a member from a project',
    description:
      'Members may remove themselves, admins of the project anyone. The keys of the member stay in the project; the answer says how many there are.',
  })
  removeMember(
    @FromCaller() caller: KnownCaller,
    @Param('id', ProjectIdPipe) id: string,
    @Param('userId', ProjectMemberIdPipe) userId: string,
  ): Promise<RemovedProjectMemberView> {
    return this.members.remove(caller, id, userId);
  }
}
