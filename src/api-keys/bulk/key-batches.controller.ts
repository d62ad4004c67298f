import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { KnownCaller } from '../../access/caller.js';
import { BatchOf, FromCaller, RequirePermission, SignedIn } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { WaitsForReplicas } from '../../audit/waits-for-replicas.js';
import { BATCH_BODY_BYTES, BodyLimit } from '../../common/body-limit.js';
import { BulkApiKeysDto } from './bulk-api-keys.dto.js';
import { BulkApiKeysView } from './bulk-api-keys.view.js';
import { ImportApiKeysDto } from './import-api-keys.dto.js';
import { ImportApiKeysView } from './import-api-keys.view.js';
import { KeyBulkService } from './key-bulk.service.js';
import { KeyImportService } from './key-import.service.js';

/** Many keys at once, each by itself. */
@ApiTags('API keys')
@Controller('api-keys')
export class KeyBatchesController {
  constructor(
    private readonly imports: KeyImportService,
    private readonly bulk: KeyBulkService,
  ) {}

  @Post('import')
  @HttpCode(200)
  @BodyLimit(BATCH_BODY_BYTES)
  @RequirePermission('platform:api-keys:create', 'platform:api-keys:assign')
  @Audited('api-keys:import', 'api-key')
  @WaitsForReplicas()
  @BatchOf('keys')
  @ApiOperation({
    summary: 'Import keys',
    description:
      'Takes over up to 500 keys of another system by the SHA-256 of their secrets, so that clients keep them. Every entry is judged by itself, like a create of its own, its form included; importing the same again finds duplicates. Other replicas know the keys a moment after the answer, with `wait=true` before it. At most 1 MiB.',
  })
  import(@FromCaller() caller: KnownCaller, @Body() body: ImportApiKeysDto): Promise<ImportApiKeysView> {
    return this.imports.import(caller, body);
  }

  @Post('bulk')
  @HttpCode(200)
  @SignedIn()
  @Audited('api-keys:bulk', 'api-key')
  @BatchOf('ids', 'action')
  @WaitsForReplicas()
  @ApiOperation({
    summary: 'Change many keys',
    description:
      'Activates, deactivates, renews, revokes or tags up to 500 keys. Each is authorised and recorded as by its single route, and none fails another.',
  })
  change(@FromCaller() caller: KnownCaller, @Body() body: BulkApiKeysDto): Promise<BulkApiKeysView> {
    return this.bulk.run(caller, body);
  }
}
