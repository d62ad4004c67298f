import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { ReplicasService } from './replicas.service.js';
import { ReplicasView } from './replicas.view.js';

/** How the installation is doing. */
@ApiTags('System')
@Controller('system/replicas')
export class ReplicasController {
  constructor(private readonly replicas: ReplicasService) {}

  @Get()
  @RequirePermission('platform:system:read')
  @Audited('system:read', 'system')
  @ApiOperation({
    summary: 'List the replicas',
    description: 'Every running server, how fresh its knowledge is and which changes it has applied.',
  })
  list(): Promise<ReplicasView> {
    return this.replicas.list();
  }
}
