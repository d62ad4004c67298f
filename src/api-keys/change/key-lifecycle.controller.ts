import { Body, Controller, Delete, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Versioned } from '../../audit/versioned.js';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOr } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { WaitsForReplicas } from '../../audit/waits-for-replicas.js';
import { ApiKeyView } from '../api-key.view.js';
import { KeyIdPipe } from '../key-id.pipe.js';
import { RenewApiKeyDto, RevokeApiKeyDto, TransferApiKeyDto } from './key-lifecycle.dto.js';
import { RevokedApiKeyView } from './key-lifecycle.view.js';
import { KeyRemovalService } from './key-removal.service.js';
import { KeyTransferService } from './key-transfer.service.js';
import { KeyUpdateService } from './key-update.service.js';
import { OwnerOrGuard } from '../owner-or.guard.js';

const REVOKE_DESCRIPTION =
  'Final: the key never works again and frees its alias; its history stays. A second time is 409 with `revokedAt`.';

/** What happens to a key between its creation and its end. */
@ApiTags('API keys')
@Controller('api-keys/:id')
@UseGuards(OwnerOrGuard)
export class KeyLifecycleController {
  constructor(
    private readonly updates: KeyUpdateService,
    private readonly removals: KeyRemovalService,
    private readonly transfers: KeyTransferService,
  ) {}

  @Post('renew')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:renew', 'api-key')
  @ApiOperation({
    summary: 'Renew a key',
    description:
      'Starts the validity window anew: `validityDays` (default 15) from now, also where there was no expiry. Another date needs `platform:api-keys:update`; an owner without it does not pass `maxExpiresAt`. Whether the key is active stays.',
  })
  renew(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: RenewApiKeyDto,
  ): Promise<ApiKeyView> {
    return this.updates.renew(caller, id, body);
  }

  @Post('activate')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:activate', 'api-key')
  @ApiOperation({ summary: 'Activate a key', description: 'An owner cannot activate what another user deactivated.' })
  activate(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<ApiKeyView> {
    return this.updates.activate(caller, id);
  }

  @Post('deactivate')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:update')
  @Audited('api-keys:deactivate', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({ summary: 'Deactivate a key', description: 'It is refused until it is activated again.' })
  deactivate(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<ApiKeyView> {
    return this.updates.deactivate(caller, id);
  }

  @Post('revoke')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:delete', { itself: true })
  @Audited('api-keys:revoke', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({ summary: 'Revoke a key', description: REVOKE_DESCRIPTION })
  revoke(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: RevokeApiKeyDto,
  ): Promise<RevokedApiKeyView> {
    return this.removals.revoke(caller, id, body.reason ?? null);
  }

  @Delete()
  @Versioned('api-key')
  @OwnerOr('platform:api-keys:delete', { itself: true })
  @Audited('api-keys:revoke', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Revoke a key (the same as POST revoke, without a reason)',
    description: REVOKE_DESCRIPTION,
  })
  delete(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<RevokedApiKeyView> {
    return this.removals.revoke(caller, id, null);
  }

  @Delete('permanent')
  @Versioned('api-key')
  @HttpCode(204)
  @OwnerOr('platform:api-keys:delete')
  @Audited('api-keys:delete', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Delete a key for ever',
    description:
      'Usage and audit trail stay. Owners without `platform:api-keys:delete` may delete what is revoked or expired.',
  })
  async deletePermanently(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<void> {
    await this.removals.deletePermanently(caller, id);
  }

  @Post('transfer')
  @Versioned('api-key')
  @HttpCode(200)
  @OwnerOr('platform:api-keys:assign')
  @Audited('api-keys:transfer', 'api-key')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Give a key to another owner or project',
    description:
      'An admin of both projects moves a key from one to the other without the permission, and a key of their own into a project. Another owner for a key of another owner also needs `platform:api-keys:update`. Nobody gives away more than they hold. The secret stays as it is; regenerate it if the old owner is to lose it.',
  })
  transfer(
    @FromCaller() caller: KnownCaller,
    @Param('id', KeyIdPipe) id: string,
    @Body() body: TransferApiKeyDto,
  ): Promise<ApiKeyView> {
    return this.transfers.transfer(caller, id, body);
  }
}
