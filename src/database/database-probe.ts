import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';

/** Asks the database for a sign of life. */
@Injectable()
export class DatabaseProbe {
  constructor(private readonly dataSource: DataSource) {}

  /** @throws whatever keeps PostgreSQL from answering */
  async ask(): Promise<void> {
    await this.dataSource.query('SELECT 1');
  }
}
