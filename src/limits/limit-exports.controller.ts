import { Controller, Get, Header, Param, Query, StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Readable } from 'node:stream';
import { RequirePermission } from '../access/decorators.js';
import { Audited } from '../audit/audited.decorator.js';
import { Compressed } from '../common/compressed.js';
import { LimitIdPipe } from './limit-id.pipe.js';
import { ACCOUNT_CSV_HEADER, LIMIT_CSV_HEADER, csvOfAccount, csvOfLimit } from './limit.csv.js';
import { ExportLimitAccountsDto, ExportLimitsDto } from './limits-query.dto.js';
import { LimitsReader } from './limits-reader.service.js';

const FORM = 'streamed (RFC 4180, UTF-8 with a byte order mark). An answer that breaks off is incomplete.';
const CSV = { 'text/csv': { schema: { type: 'string' } } } as const;

/** Limits and their accounts as CSV. */
@ApiTags('Limits')
@Controller('limits')
export class LimitExportsController {
  constructor(private readonly reader: LimitsReader) {}

  @Get('export')
  @Compressed()
  @RequirePermission('platform:limits:read')
  @Audited('limits:export', 'limit')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Export limits as CSV',
    description: `All limits of a list, with what is used most of each, ${FORM}`,
  })
  @ApiOkResponse({ description: 'One line a limit.', content: CSV })
  limits(@Query() query: ExportLimitsDto): Promise<StreamableFile> {
    return fileOf('limits.csv', LIMIT_CSV_HEADER, this.reader.walk(query), csvOfLimit);
  }

  @Get(':id/accounts/export')
  @Compressed()
  @RequirePermission('platform:limits:read')
  @Audited('limits:export', 'limit')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: 'Export the accounts of a limit as CSV',
    description: `All accounts of a list, as of the running period, ${FORM}`,
  })
  @ApiOkResponse({ description: 'One line an account.', content: CSV })
  accounts(@Param('id', LimitIdPipe) id: string, @Query() query: ExportLimitAccountsDto): Promise<StreamableFile> {
    return fileOf('limit-accounts.csv', ACCOUNT_CSV_HEADER, this.reader.walkAccounts(id, query), csvOfAccount);
  }
}

/** The first batch before the first byte: what is wrong with the request is answered as a problem, not as a file. */
async function fileOf<T>(
  name: string,
  header: string,
  batches: AsyncGenerator<T[]>,
  lineOf: (one: T) => string,
): Promise<StreamableFile> {
  const first = await batches.next();
  const lines = linesOf(header, first.done === true ? [] : first.value, batches, lineOf);
  return new StreamableFile(Readable.from(lines, { objectMode: false }), {
    type: 'text/csv; charset=utf-8; header=present',
    disposition: `attachment; filename="${name}"`,
  });
}

/** The document in pieces of one batch. Who stops reading ends the walk as well. */
async function* linesOf<T>(
  header: string,
  first: readonly T[],
  rest: AsyncGenerator<T[]>,
  lineOf: (one: T) => string,
): AsyncGenerator<string> {
  yield header + first.map(lineOf).join('');
  for await (const batch of rest) yield batch.map(lineOf).join('');
}
