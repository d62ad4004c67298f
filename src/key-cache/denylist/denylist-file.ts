import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Conditions } from '../../common/conditions.js';
import { Config } from '../../config/config.js';
import { Denylist } from './denylist.js';

const READ_EVERY_MS = 1_000;
/** Some 60 000 entries; a longer file is not read, and the list stays as it was. */
const MAX_BYTES = 2 * 1024 * 1024;

const NOT_READ = 'DENYLIST_FILE cannot be read, or has lines that name no key: see the log.';

/** Reads `DENYLIST_FILE` again each second: the way to end a key while the database cannot be written. */
@Injectable()
export class DenylistFile implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Denylist');
  private timer: NodeJS.Timeout | undefined;
  private lastComplaint = '';

  constructor(
    private readonly config: Config,
    private readonly denylist: Denylist,
    conditions: Conditions,
  ) {
    conditions.register('denylist', 'DENYLIST_FILE can be read, and all of it is understood', () =>
      this.lastComplaint === '' ? null : NOT_READ,
    );
  }

  /** The list counts from the first answer on. */
  async onApplicationBootstrap(): Promise<void> {
    const file = this.config.denylistFile;
    if (file === null) return;
    await this.read(file);
    // Chained, so that a slow disk never has two reads under way.
    const again = async () => {
      await this.read(file);
      this.timer?.refresh();
    };
    this.timer = setTimeout(() => void again(), READ_EVERY_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** An absent file is an empty list; one that cannot be read leaves the list as it was. */
  private async read(file: string): Promise<void> {
    try {
      const wrong = this.denylist.replace(await contentOf(file));
      this.complain(
        wrong.length === 0
          ? ''
          : `DENYLIST_FILE has lines that are neither a kid nor a key id: ${wrong.slice(0, 10).join(', ')}`,
      );
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        this.denylist.replace('');
        this.complain('');
      } else {
        this.complain(`DENYLIST_FILE cannot be read, the last list stays in force: ${(error as Error).message}`);
      }
    }
  }

  /** Each complaint once, not each second. */
  private complain(sentence: string): void {
    if (sentence !== '' && sentence !== this.lastComplaint) this.logger.error(sentence);
    this.lastComplaint = sentence;
  }
}

async function contentOf(path: string): Promise<string> {
  // Opening a pipe without a writer would block a thread for ever, and with it the end of the process.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error('it is no regular file');
    if (stats.size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
