/** `archive-process.ts <database url> <directory>`: archives what is due, as a process that a test may kill. */
import { dataSource } from '../../../../src/database/data-source.js';
import { UsageArchiver } from '../../../../src/usage/archives/usage-archiver.js';

const [url, directory] = process.argv.slice(2);
const pool = await dataSource(url!, { max: 2 }).initialize();
process.stdout.write('begun\n');
await new UsageArchiver(pool, { directory: directory!, keepMonths: 2 }).archiveAll();
process.stdout.write('done\n');
await pool.destroy();
