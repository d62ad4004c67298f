import { Controller, Get, Header, Query, StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Compressed } from '../../common/compressed.js';
import { Readable } from 'node:stream';
import type { KnownCaller } from '../../access/caller.js';
import { FromCaller, OwnerOr } from '../../access/decorators.js';
import { Audited } from '../../audit/audited.decorator.js';
import { ApiKeyFacetsView, ApiKeyPageView } from './api-key-list.view.js';
import { ApiKeyListingService } from './api-key-listing.service.js';
import { KEY_CSV_HEADER, csvOfKey } from './api-key.csv.js';
import type { ApiKeyView } from '../api-key.view.js';
import { ApiKeyFacetsDto, ExportApiKeysDto, ListApiKeysDto } from './api-keys-query.dto.js';

/** Finding keys. */
@ApiTags('API keys')
@Controller('api-keys')
export class ApiKeyListsController {
  constructor(private readonly listing: ApiKeyListingService) {}

  @Get()
  @Compressed()
  @OwnerOr('platform:api-keys:read', { itself: true })
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({
    summary: 'List keys',
    description:
      'A page of keys: without the permission your own, those of the service accounts you manage, and those in projects of which you are a member. All filters given must hold.',
  })
  list(@FromCaller() caller: KnownCaller, @Query() query: ListApiKeysDto): Promise<ApiKeyPageView> {
    return this.listing.page(caller, query);
  }

  @Get('facets')
  @Compressed()
  @OwnerOr('platform:api-keys:read', { itself: true })
  @Audited('api-keys:read', 'api-key')
  @ApiOperation({
    summary: 'Count keys by group',
    description: 'How the keys of a list fall into statuses, environments, owners, tags and scopes.',
  })
  facets(@FromCaller() caller: KnownCaller, @Query() query: ApiKeyFacetsDto): Promise<ApiKeyFacetsView> {
    return this.listing.facets(caller, query);
  }

  @Get('export')
  @Compressed()
  @OwnerOr('platform:api-keys:read', { itself: true })
  @Audited('api-keys:export', 'api-key')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Export keys as CSV',
    description:
      'All keys of a list, streamed (RFC 4180, UTF-8 with a byte order mark). Lists are one cell, separated by spaces; a text that a spreadsheet would take for a formula starts with an apostrophe. An answer that breaks off is incomplete.',
  })
  @ApiOkResponse({ description: 'One line a key.', content: { 'text/csv': { schema: { type: 'string' } } } })
  async export(@FromCaller() caller: KnownCaller, @Query() query: ExportApiKeysDto): Promise<StreamableFile> {
    const batches = this.listing.walk(caller, query);
    // The first batch before the first byte: what is wrong with the request is answered as a problem, not as half a
    // file.
    const first = await batches.next();
    return new StreamableFile(Readable.from(linesOf(first.done ? [] : first.value, batches), { objectMode: false }), {
      type: 'text/csv; charset=utf-8; header=present',
      disposition: 'attachment; filename="api-keys.csv"',
    });
  }
}

/** The document in pieces of one batch. A client that stops reading ends the walk as well. */
async function* linesOf(first: readonly ApiKeyView[], rest: AsyncGenerator<ApiKeyView[]>): AsyncGenerator<string> {
  yield KEY_CSV_HEADER + first.map(csvOfKey).join('');
  for await (const batch of rest) yield batch.map(csvOfKey).join('');
}
