import { DataSource, type Migration } from 'typeorm';
import { StartRefusal } from '../common/start-refusal.js';
import { dataSourceOptions, type PoolOptions } from './data-source.js';
import { migrate } from './migrate.js';
import type { OwnerTerms } from './owner-terms.js';

/**
 * The data source of TypeORM's command line. `migration:run` goes through our runner, which takes the lock, keeps
 * checksums and makes functions. What would go around it is refused: the schema is changed by migrations alone, and
 * they are not undone, because the build before runs on what they made.
 */
export class CommandLineDataSource extends DataSource {
  constructor(
    private readonly ownerUrl: string,
    pool: PoolOptions,
    private readonly terms: OwnerTerms = {},
  ) {
    super(dataSourceOptions(ownerUrl, pool));
  }

  override async runMigrations(options?: { fake?: boolean }): Promise<Migration[]> {
    if (options?.fake === true) throw inWords('A migration cannot be noted without being run: leave out --fake.');
    const log = (line: string) => process.stderr.write(`${line}\n`);
    await migrate(this.ownerUrl, log, this.terms).catch((error: unknown) => {
      throw error instanceof StartRefusal ? inWords(error.message) : error;
    });
    return [];
  }

  override undoLastMigration(): Promise<void> {
    return refuse('Migrations are not undone: start the build before, which runs on this schema, or restore a backup.');
  }

  override synchronize(): Promise<void> {
    return refuse('The schema is changed by migrations alone: run migration:run.');
  }

  override dropDatabase(): Promise<void> {
    return refuse('This command does not delete data: drop the database itself, in psql.');
  }
}

function refuse(sentence: string): Promise<never> {
  return Promise.reject(inWords(sentence));
}

/** TypeORM prints the stack of what it catches: here it is the sentence. */
function inWords(sentence: string): StartRefusal {
  const refusal = new StartRefusal(sentence);
  refusal.stack = `${refusal.name}: ${sentence}`;
  return refusal;
}
