import { Body, Controller, Get, Header, HttpCode, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../access/caller.js';
import { Audited, FromCaller, OwnerOr, RequirePermission } from '../access/decorators.js';
import { CreateApiKeyDto } from './api-key.dto.js';
import { ApiKeyView, CreatedApiKeyView } from './api-key.view.js';
import { ApiKeysService } from './api-keys.service.js';
import { KeyIdPipe } from './key-id.pipe.js';

/** Creating, reading and changing keys. */
@ApiTags('API keys')
@Controller('api-keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  @Post()
  @HttpCode(201)
  @Header('Cache-Control', 'no-store')
  @RequirePermission('platform:api-keys:create')
  @Audited('api-keys:create', 'api-key')
  @ApiOperation({ summary: 'Create a key', description: 'The secret is in this answer and nowhere else, ever.' })
  create(@FromCaller() caller: KnownCaller, @Body() body: CreateApiKeyDto): Promise<CreatedApiKeyView> {
    return this.keys.create(caller, body);
  }

  @Get(':id')
  @OwnerOr('platform:api-keys:read')
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({ summary: 'Read a key' })
  get(@FromCaller() caller: KnownCaller, @Param('id', KeyIdPipe) id: string): Promise<ApiKeyView> {
    return this.keys.get(caller, id);
  }
}
