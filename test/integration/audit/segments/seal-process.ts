/** `seal-process.ts <database url> <directory> <key>`: seals what is due, as a process that a test may kill. */
import { AuditSealer } from '../../../../src/audit/segments/audit-sealer.js';
import { dataSource } from '../../../../src/database/data-source.js';

const [url, directory, key] = process.argv.slice(2);
const pool = await dataSource(url!, { max: 2 }).initialize();
const auditKeys = [{ version: '1', key: Buffer.from(key!, 'hex'), strengthBytes: 32 }];
process.stdout.write('begun\n');
await new AuditSealer(pool, { auditKeys }, { directory: directory!, keepMonths: 3, maxEntries: 100 }).sealAll();
process.stdout.write('done\n');
await pool.destroy();
