import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { sessionConfigOf } from '../database/session-config.js';
import { LiveConnection } from '../database/live-connection.js';

/**
 * The sessions of the data plane, apart from the pool: neither a busy management plane nor a statement that hangs
 * there can keep a verify waiting, and a write that hangs cannot keep a read waiting.
 */
@Injectable()
export class DataPlaneConnections {
  private readonly readers: readonly [LiveConnection, LiveConnection];
  /** For heartbeats and last uses. */
  readonly writer: LiveConnection;

  constructor(dataSource: DataSource) {
    const reader = () => new LiveConnection(sessionConfigOf(dataSource, 'records', 'data-plane'));
    this.readers = [reader(), reader()];
    this.writer = new LiveConnection(sessionConfigOf(dataSource, 'writer', 'data-plane'));
  }

  /** The reader with less to do. */
  reader(): LiveConnection {
    const [one, other] = this.readers;
    return other.load < one.load ? other : one;
  }

  async close(): Promise<void> {
    await Promise.all([...this.readers, this.writer].map((connection) => connection.close()));
  }
}
