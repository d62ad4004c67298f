import { Controller, Delete, HttpCode, Param, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, RequirePermission } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { Versioned } from '../../audit/versioned.js';
import { WaitsForReplicas } from '../../audit/waits-for-replicas.js';
import { ProjectIdPipe } from '../../projects/project-id.pipe.js';
import { DeleteProjectQueryDto } from './project-deletion.dto.js';
import { ProjectDeletion } from './project-deletion.service.js';

/** The end of a project, which is first of all one for its keys. */
@ApiTags('Projects')
@Controller('projects')
export class ProjectDeletionController {
  constructor(private readonly deletion: ProjectDeletion) {}

  @Delete(':id')
  @Versioned('project')
  @WaitsForReplicas({ besides: DeleteProjectQueryDto })
  @HttpCode(204)
  @RequirePermission('platform:projects:delete')
  @Audited('projects:delete', 'project')
  @ApiOperation({
    summary: 'Delete a project',
    description:
      'Of a project with keys that are not revoked, say what becomes of them. Revoked keys keep its id. ' +
      'Many keys are done in batches: if the request is cut off, send it again.',
  })
  delete(
    @FromCaller() caller: KnownCaller,
    @Param('id', ProjectIdPipe) id: string,
    @Query() query: DeleteProjectQueryDto,
  ): Promise<void> {
    return this.deletion.delete(caller, id, query);
  }
}
