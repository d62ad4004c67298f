import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Housekeeping } from '../../common/housekeeping.js';

/** Makes the partitions of refused calls for the hours to come, and drops those that have had their time. */
@Injectable()
export class RefusedCallHousekeeping extends Housekeeping {
  constructor(private readonly dataSource: DataSource) {
    super(new Logger('RefusedCalls'), 'housekeeping of refused calls did not finish');
  }

  protected override async round(): Promise<void> {
    await this.dataSource.query('SELECT refused_calls_prepare()');
  }
}
