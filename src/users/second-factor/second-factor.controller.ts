import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, RequirePermission, SignedIn } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { UserIdPipe } from '../user-id.pipe.js';
import { ConfirmSecondFactorDto, OwnPasswordDto } from './second-factor.dto.js';
import { SecondFactorReset } from './second-factor-reset.service.js';
import { EnrolmentView, RecoveryCodesView, SecondFactorView } from './second-factor.view.js';
import { SecondFactors } from './second-factors.service.js';

/** Codes of an authenticator app (TOTP) for people who sign in with a password. */
@ApiTags('Auth')
@Controller()
export class SecondFactorController {
  constructor(
    private readonly factors: SecondFactors,
    private readonly resets: SecondFactorReset,
  ) {}

  @Get('auth/second-factor')
  @SignedIn({ whileEnrolling: true })
  @ApiOperation({ summary: 'Your second factor', description: 'Needs a session.' })
  find(@FromCaller() caller: KnownCaller): Promise<SecondFactorView> {
    return this.factors.find(caller);
  }

  @Post('auth/second-factor')
  @SignedIn({ whileEnrolling: true })
  @Audited('second-factors:create', 'user')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Begin to set up a second factor',
    description:
      'Gives a secret for an authenticator app. It works once its first code was confirmed, within 15 minutes. Needs a session, and the password again.',
  })
  begin(@FromCaller() caller: KnownCaller, @Body() body: OwnPasswordDto): Promise<EnrolmentView> {
    return this.factors.begin(caller, body.password);
  }

  @Post('auth/second-factor/confirm')
  @HttpCode(200)
  @SignedIn({ whileEnrolling: true })
  @Audited('second-factors:activate', 'user')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Confirm a second factor with its first code',
    description: 'From then on a sign-in needs a code. Gives ten recovery codes and ends your other sessions.',
  })
  confirm(@FromCaller() caller: KnownCaller, @Body() body: ConfirmSecondFactorDto): Promise<RecoveryCodesView> {
    return this.factors.confirm(caller, body.code);
  }

  @Post('auth/second-factor/recovery-codes')
  @HttpCode(200)
  @SignedIn()
  @Audited('second-factors:regenerate', 'user')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Draw recovery codes anew',
    description: 'The old ones open nothing any more. Needs a session, and the password again.',
  })
  redraw(@FromCaller() caller: KnownCaller, @Body() body: OwnPasswordDto): Promise<RecoveryCodesView> {
    return this.factors.redrawRecoveryCodes(caller, body.password);
  }

  @Post('auth/second-factor/remove')
  @HttpCode(204)
  @SignedIn()
  @Audited('second-factors:delete', 'user')
  @ApiOperation({ summary: 'Remove your second factor', description: 'Needs a session, and the password again.' })
  remove(@FromCaller() caller: KnownCaller, @Body() body: OwnPasswordDto): Promise<void> {
    return this.factors.remove(caller, body.password);
  }

  @Delete('users/:id/second-factor')
  @HttpCode(204)
  @RequirePermission('platform:users:update')
  @Audited('second-factors:delete', 'user')
  @ApiOperation({
    summary: 'Reset another person’s second factor',
    description:
      'For a person who has lost phone and recovery codes. You need what setting the password needs. Ends all sessions of that person.',
  })
  reset(@FromCaller() caller: KnownCaller, @Param('id', UserIdPipe) id: string): Promise<void> {
    return this.resets.reset(caller, id);
  }
}
