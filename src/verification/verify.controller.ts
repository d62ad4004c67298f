import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { RequirePermission } from '../access/decorators.js';
import { VerdictView } from './verdict.view.js';
import { Verifier } from './verifier.js';
import { VerifyDto } from './verify.dto.js';

/** The data plane: what services ask on every request. */
@ApiTags('Verification')
@Controller()
export class VerifyController {
  constructor(private readonly verifier: Verifier) {}

  @Post('verify')
  @HttpCode(200)
  @RequirePermission('platform:api-keys:verify')
  @ApiOperation({ summary: 'Verify a key', description: 'Answers 200 with a verdict whenever it could be decided; a refusal is a verdict with `valid: false`.' })
  verify(@Body() body: VerifyDto): Promise<VerdictView> {
    return this.verifier.verify(body);
  }
}
