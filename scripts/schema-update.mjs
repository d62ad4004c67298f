/**
 * `npm run schema:update`: writes down what migrations and functions make, in src/database/schema/expected.txt, after
 * either has changed. `npm run schema:update -- --release 2`: also adds their checksums to test/contract/released.json,
 * which holds them from then on.
 */
import { parseArgs } from 'node:util';
import '../test/support/register-typescript.mjs';

const { writeExpected, writeRelease } = await import('../test/support/schema-files.ts');
const { values } = parseArgs({ options: { release: { type: 'string' } } });
await writeExpected();
if (values.release !== undefined) await writeRelease(values.release);
