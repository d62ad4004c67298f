import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../access/caller.js';
import { FromCaller, SignedIn } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { onlyForPeople } from '../users/user.errors.js';
import { AccountNotices } from '../users/account-notices.service.js';
import { AcknowledgeNoticesDto } from './notices.dto.js';

/** What happened to the own account, once it was read. */
@ApiTags('Auth')
@Controller('auth/notices')
export class NoticesController {
  constructor(private readonly notices: AccountNotices) {}

  @Post('acknowledge')
  @HttpCode(204)
  @SignedIn()
  @Audited('auth:acknowledge', 'user')
  @ApiOperation({
    summary: 'Acknowledge what happened to your account',
    description:
      'Failed sign-ins and changes by others are in the answers of `POST /auth/login` and `GET /auth/me` until then. What happens later is told again. For signed-in people: not for keys.',
  })
  async acknowledge(@FromCaller() caller: KnownCaller, @Body() { marker }: AcknowledgeNoticesDto): Promise<void> {
    if (caller.principal.signedInUserId === null) throw onlyForPeople();
    const [seq, failures] = marker.split('.') as [string, string];
    await this.notices.acknowledge(caller, seq, Number(failures));
  }
}
