import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, RequirePermission } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { EraseSubjectDto } from './subject.dto.js';
import { SubjectErasure } from './subject-erasure.service.js';
import { ErasedSubjectView } from './subject.view.js';

/** The end users of keys, as services name them. */
@ApiTags('Limits')
@Controller('subjects')
export class SubjectsController {
  constructor(private readonly erasure: SubjectErasure) {}

  @Post('erase')
  @HttpCode(200)
  @RequirePermission('platform:users:delete')
  @Audited('subjects:erase', 'subject')
  @ApiOperation({
    summary: 'Erase a subject',
    description:
      'Removes the text of a subject from its accounts and from events; sums stay. A subject that calls again is known again. It cannot be undone.',
  })
  erase(@FromCaller() caller: KnownCaller, @Body() body: EraseSubjectDto): Promise<ErasedSubjectView> {
    return this.erasure.erase(caller, body.subject);
  }
}
